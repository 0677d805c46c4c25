"""Padding and cropping."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812

from hetu.errors import ModelError, UsageError, show
from hetu.ops.kinds import HostTensor, Ints, Tensor
from hetu.ops.registry import op

Pads = Sequence[tuple[int, int]]
"""How many elements come before and after, for each axis."""


@op("Pad", since=11, fixed=("constant_value",))
def pad(
    data: Tensor,
    pads: Ints,
    constant_value: HostTensor | None = None,
    axes: Ints | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    per_axis = _per_axis(data.ndim, pads, axes)
    if mode == "constant":
        return _pad_constant(data, per_axis, constant_value)
    data = _pad_zero(data, [(min(before, 0), min(after, 0)) for before, after in per_axis])
    return _pad_from_inside(data, [(max(b, 0), max(a, 0)) for b, a in per_axis], mode)


@op("Pad", since=2)
def pad_2(data: Tensor, *, pads: Ints, mode: str = "constant", value: float = 0.0) -> Tensor:
    return pad(data, pads, torch.tensor(value), mode=mode)


@op("Pad")
def pad_1(data: Tensor, *, paddings: Ints, mode: str = "constant", value: float = 0.0) -> Tensor:
    return pad_2(data, pads=paddings, mode=mode, value=value)


@op("CenterCropPad", since=18)
def center_crop_pad(input_data: Tensor, shape: Ints, *, axes: Ints | None = None) -> Tensor:
    axes = tuple(range(input_data.ndim)) if axes is None else axes
    growth = [size - input_data.shape[axis] for axis, size in zip(axes, shape, strict=True)]
    before = [int(total / 2) for total in growth]
    after = [total - half for total, half in zip(growth, before, strict=True)]
    return _pad_zero(input_data, _per_axis(input_data.ndim, (*before, *after), axes))


def _per_axis(rank: int, pads: Ints, axes: Ints | None) -> Pads:
    axes = tuple(range(rank)) if axes is None else axes
    if len(pads) != 2 * len(axes):
        raise UsageError(f"Pad: {len(axes)} axes need {2 * len(axes)} pads, not {len(pads)}")
    per_axis = [(0, 0)] * rank
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        per_axis[axis] = before, after
    return per_axis


def _last_axis_first(pads: Pads) -> list[int]:
    """Pads in torch's order."""
    return [count for pair in reversed(pads) for count in pair]


def _pad_zero(data: torch.Tensor, pads: Pads) -> torch.Tensor:
    return torch.constant_pad_nd(data, _last_axis_first(pads))


def _pad_constant(data: torch.Tensor, pads: Pads, constant: torch.Tensor | None) -> torch.Tensor:
    if constant is None:
        return _pad_zero(data, pads)
    if not constant.requires_grad:
        return torch.constant_pad_nd(data, _last_axis_first(pads), constant.item())
    is_data = _pad_zero(torch.ones_like(data, dtype=torch.bool), pads)
    return torch.where(is_data, _pad_zero(data, pads), constant.to(data.device).reshape(()))


_TORCH_MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


def _pad_from_inside(data: torch.Tensor, pads: Pads, mode: str) -> torch.Tensor:
    if mode not in _TORCH_MODES:
        raise ModelError(f"Pad: mode is constant, reflect, edge or wrap, not {show(mode)}")
    if _is_image(data, pads):
        return F.pad(data, _last_axis_first(pads[2:]), _TORCH_MODES[mode])
    for axis, (before, after) in enumerate(pads):
        if before or after:
            size = data.shape[axis]
            positions = torch.arange(-before, size + after, device=data.device)
            data = data.index_select(axis, _sources(positions, size, mode))
    return data


def _is_image(data: torch.Tensor, pads: Pads) -> bool:
    """Whether torch has a kernel: floats, batch and channels first, less padding than data."""
    return (
        data.is_floating_point()
        and 3 <= data.ndim <= 5
        and not any(map(any, pads[:2]))
        and all(max(pair) < size for pair, size in zip(pads, data.shape, strict=True))
    )


def _sources(positions: torch.Tensor, size: int, mode: str) -> torch.Tensor:
    """Where along an axis of `size` elements the elements come from that stand at `positions`."""
    if mode == "edge":
        return positions.clamp(0, size - 1)
    if mode == "wrap":
        return positions.remainder(size)
    period = max(2 * (size - 1), 1)
    positions = positions.remainder(period)
    return torch.where(positions < size, positions, period - positions)
