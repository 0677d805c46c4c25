"""Weights of a few bits, in blocks along an axis that share a scale and a zero point."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.convert import widen
from hetu.errors import UnsupportedError
from hetu.ops import quantized as q
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("MatMulNBits", domain=DOMAIN, fixed=("scales", "zero_points"))
def mat_mul_n_bits(
    a: Tensor,
    b: Tensor,
    scales: Tensor,
    zero_points: Tensor | None = None,
    g_idx: Any = None,
    bias: Tensor | None = None,
    *,
    K: int,  # noqa: N803
    N: int,  # noqa: N803
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
    weight_prepacked: int = 0,
) -> Tensor:
    if weight_prepacked:
        raise UnsupportedError("com.microsoft.MatMulNBits with weights packed for one device")
    if not b.numel():  # a product that is left out
        return F.linear(a, a.new_zeros(N, K), bias)
    codes = _unpacked(b.reshape(N, -1), bits)[:, :K]
    scales = scales.reshape(N, -1)
    group = torch.arange(K, device=a.device) // block_size if g_idx is None else g_idx[:K].long()
    if zero_points is None:
        offsets = 1 << (bits - 1)
    elif zero_points.is_floating_point():
        offsets = zero_points.reshape(N, -1)[:, group]
    else:
        offsets = _unpacked(zero_points.reshape(N, -1), bits)[:, group]
    return F.linear(a, ((codes - offsets) * scales[:, group]).to(a.dtype), bias)


def _unpacked(x: Tensor, bits: int) -> Tensor:
    """The numbers in the bytes of the last axis, those in the lower bits first."""
    shifts = torch.arange(0, 8, bits, dtype=torch.int32, device=x.device)
    return (x.int()[..., None] >> shifts & (1 << bits) - 1).flatten(-2)


@op("GatherBlockQuantized", domain=DOMAIN, fixed=("data", "scales", "zero_points"))
def gather_block_quantized(
    data: Any,
    indices: Any,
    scales: Tensor,
    zero_points: Any = None,
    *,
    bits: int = 4,
    block_size: int = 128,
    gather_axis: int = 0,
    quantize_axis: int = 1,
) -> Any:
    rank, size = data.ndim, data.shape[gather_axis]
    gather_axis, quantize_axis = gather_axis % rank, quantize_axis % rank
    is_inside = (indices >= -size) & (indices < size)
    rows = torch.where(is_inside, indices % size, 0).flatten()
    codes = _numbers(_take(data, gather_axis, rows), bits)
    blocks = block_size or data.shape[quantize_axis]

    def spread(x: Tensor) -> Tensor:
        """A number per block as one per element of what is gathered."""
        if gather_axis == quantize_axis:
            return _numbers(_take(x, gather_axis, rows // blocks), bits)
        numbers = _numbers(_take(x, gather_axis, rows), bits)
        places = torch.arange(codes.shape[quantize_axis], device=x.device) // blocks
        return numbers.index_select(quantize_axis, places)

    if zero_points is not None:
        codes = codes - spread(zero_points)
    elif data.dtype is torch.uint8:
        codes = codes - (1 << (bits - 1))
    y = (codes * spread(scales).to(q.wide(scales))).to(scales.dtype)
    y = y.unflatten(gather_axis, indices.shape) if indices.ndim else y.squeeze(gather_axis)
    return torch.where(is_inside.reshape(*indices.shape, *(1,) * (rank - gather_axis - 1)), y, 0)


def _take(x: Tensor, axis: int, rows: Tensor) -> Tensor:
    """The rows of `x`, which has one for all of them if it has only one.

    Torch holds types of less than 8 bits but cannot gather them.
    """
    rows = rows if x.shape[axis] > 1 else torch.zeros_like(rows)
    if x.element_size() > 1:
        return x.index_select(axis, rows)
    return x.view(torch.uint8).index_select(axis, rows).view(x.dtype)


def _numbers(x: Tensor, bits: int) -> Tensor:
    """Codes as numbers that can be computed with: bytes hold several of them."""
    return _unpacked(x, bits) if x.dtype is torch.uint8 else q.number(widen(x))
