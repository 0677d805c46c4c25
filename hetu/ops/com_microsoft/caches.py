"""Caches of keys and values: where new ones go and in which form they are held."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.convert import widen
from hetu.errors import ModelError
from hetu.ops import quantized
from hetu.ops.autocast import together
from hetu.ops.com_microsoft.packing import in_halves, unpacked
from hetu.ops.kinds import Tensor
from hetu.types import DType


@dataclass(frozen=True, slots=True)
class Form:
    """How a cache holds numbers: as they are, or in steps of a scale, of 8 bits or of 4.

    Four bits are a number above -8 or, if `is_signed`, in two's complement.
    """

    kind: str
    scale: Tensor | None
    bits: int | None
    is_signed: bool = False

    def read(self, stored: Tensor) -> Tensor:
        """What is stored, in steps."""
        if self.kind == "NONE":
            return stored
        if self.bits != 4:
            return quantized.number(widen(stored))
        codes = unpacked(stored, 4)
        return (codes ^ 8 if self.is_signed else codes) - 8

    def rounded(self, x: Tensor, element: DType) -> Tensor:
        """`x` in whole steps; gradients pass as if it were not rounded."""
        if self.kind == "NONE":
            return x
        scaled = x / self.spread(x)
        if self.bits == 4:
            steps = scaled.round().clamp(-8, 7)
        else:
            steps = widen(quantized.quantized(scaled.detach(), 0, element))
        return scaled + (steps - scaled).detach()

    def written(self, steps: Tensor, element: DType) -> Tensor:
        """Steps as they are stored."""
        if self.kind == "NONE":
            return steps
        if self.bits == 4:
            return in_halves(steps.int() & 15 if self.is_signed else steps.int() + 8)
        return quantized.quantized(steps, 0, element)

    def spread(self, x: Tensor) -> Tensor | int:
        """The scale beside (batch, heads, length, size)."""
        if self.kind == "NONE":
            return 1
        if self.scale is None:
            raise ModelError("a quantized cache needs k_scale and v_scale")
        is_one = self.scale.numel() == 1
        return self.scale.reshape(() if is_one else (x.shape[1], 1, x.shape[3])).to(x.dtype)


def stored(past: Tensor | None, new: Tensor, positions: Tensor, total: int) -> Tensor:
    """The cache with the new keys or values at their positions, zero where there are none."""
    filled = 0 if past is None else past.shape[2]
    shape = (new.shape[0], new.shape[1], max(total, filled), new.shape[3])
    cache = new.new_zeros(shape)
    if past is not None:
        kept = torch.arange(filled, device=new.device) < positions[:, :1]
        cache = F.pad(past * kept[:, None, :, None], (0, 0, 0, shape[2] - filled))
    return written(cache, new, positions)


def written(cache: Tensor, new: Tensor, positions: Tensor) -> Tensor:
    """The cache (batch, heads, length, size) with new rows at their positions."""
    cache, new = together(cache, new)
    rows = torch.arange(len(new), device=new.device)[:, None]
    filled = cache.transpose(1, 2).index_put((rows, positions), new.transpose(1, 2))
    return filled.transpose(1, 2)
