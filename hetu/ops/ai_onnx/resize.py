"""Resampling: Upsample, Resize, GridSample, AffineGrid."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops import sampling
from hetu.ops.kinds import Floats, Ints, Tensor
from hetu.ops.registry import op

_TORCH_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
_HALF_PIXEL = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
_CROP = "tf_crop_and_resize"
_MAX_TORCH_FACTOR = 32
"""torch multiplies by a float32 reciprocal: up to 40 its nearest elements are the exact ones."""

_ROUNDINGS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "round_prefer_floor": lambda x: (x - 0.5).ceil(),
    "round_prefer_ceil": lambda x: (x + 0.5).floor(),
    "floor": torch.floor,
    "ceil": torch.ceil,
}


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis that changes from `size` elements to `length`; `start` and `end` are its roi.

    `scale` is what the node states: with scales, not quite `length / size`.
    """

    index: int
    size: int
    length: int
    scale: float
    start: float = 0.0
    end: float = 1.0


@op("Resize", since=11)
def resize(
    x: Tensor,
    roi: Floats | None = None,
    scales: Floats | None = None,
    sizes: Ints | None = None,
    *,
    antialias: bool = False,
    axes: Ints | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: bool = False,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    indices = range(x.ndim) if axes is None else [axis % x.ndim for axis in axes]
    shape = [x.shape[i] for i in indices]
    if scales:
        lengths = _scaled_lengths(shape, scales)
    elif sizes:
        scales, lengths = _target(shape, sizes, keep_aspect_ratio_policy)
    else:
        raise ModelError("Resize needs scales or sizes")
    fields = (indices, shape, lengths, scales)
    transform = coordinate_transformation_mode
    if transform == _CROP and roi:
        plan = [Axis(*f) for f in zip(*fields, roi[: len(shape)], roi[len(shape) :], strict=True)]
    else:
        plan = _changed(Axis(*f) for f in zip(*fields, strict=True))
    if mode == "nearest":
        y = _nearest(x, plan, transform, nearest_mode)
    else:
        y = _interpolated(x, plan, transform, mode, cubic_coeff_a, exclude_outside, antialias)
    return _extrapolated(y, plan, extrapolation_value) if transform == _CROP else y


@op("Resize", since=10)
def resize_10(x: Tensor, scales: Floats, *, mode: str = "nearest") -> Tensor:
    plan = _changed(
        Axis(*fields)
        for fields in zip(
            range(x.ndim), x.shape, _scaled_lengths(x.shape, scales), scales, strict=True
        )
    )
    if mode != "nearest":
        return _interpolated(x, plan, "asymmetric", "linear")
    # The specification is silent; ONNX Runtime rounds up along axes that shrink.
    x = _nearest(x, [axis for axis in plan if axis.scale < 1], "asymmetric", "ceil")
    return _nearest(x, [axis for axis in plan if axis.scale > 1], "asymmetric", "floor")


@op("Upsample", since=9)
def upsample(x: Tensor, scales: Floats, *, mode: str = "nearest") -> Tensor:
    return resize_10(x, scales, mode=mode)


@op("Upsample", since=7)
def upsample_7(x: Tensor, *, mode: str = "nearest", scales: Floats) -> Tensor:
    return upsample(x, scales, mode=mode)


@op("Upsample")
def upsample_1(
    x: Tensor, *, height_scale: float, mode: str = "nearest", width_scale: float
) -> Tensor:
    return upsample(x, (1.0, 1.0, height_scale, width_scale), mode=mode)


@op("GridSample", since=20)
def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: bool = False,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Tensor:
    return sampling.grid_sample(x, grid, mode, padding_mode, align_corners)


@op("GridSample", since=16)
def grid_sample_16(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: bool = False,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Tensor:
    mode = mode.removeprefix("bi")
    return grid_sample(x, grid, align_corners=align_corners, mode=mode, padding_mode=padding_mode)


@op("AffineGrid", since=20)
def affine_grid(theta: Tensor, size: Ints, *, align_corners: bool = False) -> Tensor:
    return F.affine_grid(theta, list(size), align_corners=align_corners)


def _scaled_lengths(shape: Sequence[int], scales: Floats) -> list[int]:
    """Lengths by scales; the product is rounded to float32 before it is cut, as in all of ONNX."""
    return [
        math.floor(np.float32(size) * np.float32(scale))
        for size, scale in zip(shape, scales, strict=True)
    ]


def _target(shape: list[int], sizes: Ints, policy: str) -> tuple[Floats, Sequence[int]]:
    """Scales and lengths that `sizes` ask for."""
    ratios = [
        float(np.float32(length) / np.float32(max(size, 1)))
        for size, length in zip(shape, sizes, strict=True)
    ]
    if policy == "stretch":
        return tuple(ratios), sizes
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    lengths = [math.floor(float(np.float32(ratio) * np.float32(size)) + 0.5) for size in shape]
    return (ratio,) * len(shape), lengths


def _changed(plan: Iterable[Axis]) -> list[Axis]:
    """The axes to resample: none where the result has the input's shape, whatever the scales."""
    plan = list(plan)
    if all(axis.length == axis.size for axis in plan):
        return []
    return [axis for axis in plan if axis.scale != 1]


def _positions(axis: Axis, transform: str) -> Tensor:
    """Where each element of the result lies in the input.

    In float32 and on the host, as in ONNX Runtime: which element is nearest hangs on the rounding.
    """
    if transform == "pytorch_half_pixel" and axis.length == 1:
        return torch.zeros(1)
    x = torch.arange(axis.length, dtype=torch.float32)
    last, steps = axis.size - 1, axis.length - 1
    match transform:
        case "half_pixel" | "pytorch_half_pixel":
            return (x + 0.5) / axis.scale - 0.5
        case "half_pixel_symmetric":
            adjustment = axis.length / (axis.scale * axis.size)
            return axis.size / 2 * (1 - adjustment) + (x + 0.5) / axis.scale - 0.5
        case "align_corners":
            return x * last / steps if steps else x
        case "asymmetric":
            return x / axis.scale
        case "tf_half_pixel_for_nn":
            return (x + 0.5) / axis.scale
        case "tf_crop_and_resize" if steps:
            return axis.start * last + x * (axis.end - axis.start) * last / steps
        case "tf_crop_and_resize":
            return x + 0.5 * (axis.start + axis.end) * last
    raise ModelError(f"unknown coordinate_transformation_mode {transform!r}")


def _nearest(x: Tensor, plan: list[Axis], transform: str, nearest_mode: str) -> Tensor:
    chosen = [
        _ROUNDINGS[nearest_mode](_positions(axis, transform).double()).clamp(0, axis.size - 1)
        for axis in plan
    ]
    if _torch_repeats(x, plan, chosen):
        lengths = _spatial_lengths(x, plan)
        return F.interpolate(x, lengths, mode="nearest")
    for axis, places in zip(plan, chosen, strict=True):
        x = x.index_select(axis.index, places.long().to(x.device))
    return x


def _torch_repeats(x: Tensor, plan: list[Axis], chosen: list[Tensor]) -> bool:
    """Whether each element is simply repeated, in a form that torch has one call for."""
    return (
        _is_spatial(x, plan)
        and all(axis.length % axis.size == 0 for axis in plan)
        and all(axis.length // axis.size <= _MAX_TORCH_FACTOR for axis in plan)
        and all(
            torch.equal(places, torch.arange(a.size).repeat_interleave(a.length // a.size))
            for a, places in zip(plan, chosen, strict=True)
        )
    )


def _is_spatial(x: Tensor, plan: list[Axis]) -> bool:
    """Whether `F.interpolate` takes `x` and all the axes that change."""
    spatial = all(axis.index >= 2 for axis in plan) and x.ndim in _TORCH_LINEAR
    return spatial and bool(plan) and x.is_floating_point() and x.numel() > 0


def _spatial_lengths(x: Tensor, plan: list[Axis]) -> list[int]:
    lengths = list(x.shape)
    for axis in plan:
        lengths[axis.index] = axis.length
    return lengths[2:]


def _interpolated(
    x: Tensor,
    plan: list[Axis],
    transform: str,
    mode: str,
    cubic_coeff_a: float = -0.75,
    exclude_outside: bool = False,
    antialias: bool = False,
) -> Tensor:
    is_torch_cubic = x.ndim == 4 and cubic_coeff_a == -0.75 and not exclude_outside
    if not antialias and (mode == "linear" or is_torch_cubic) and _torch_places(x, plan, transform):
        torch_mode = _TORCH_LINEAR[x.ndim] if mode == "linear" else "bicubic"
        align = transform == "align_corners"
        return F.interpolate(x, _spatial_lengths(x, plan), mode=torch_mode, align_corners=align)
    weight = sampling.linear if mode == "linear" else partial(sampling.cubic, a=cubic_coeff_a)
    reach = 1 if mode == "linear" else 2
    y = x.to(sampling.float_type(x))
    for axis in plan:
        stretch = max(1.0, 1 / axis.scale) if antialias else 1.0
        positions = _positions(axis, transform).double()
        matrix = _matrix(positions, axis.size, weight, reach, stretch, exclude_outside)
        y = F.linear(y.movedim(axis.index, -1), matrix.to(y)).movedim(-1, axis.index)
    return y.to(x.dtype)


def _torch_places(x: Tensor, plan: list[Axis], transform: str) -> bool:
    """Whether `F.interpolate`, told the lengths, takes the same places in the input."""
    if not _is_spatial(x, plan):
        return False
    if transform == "align_corners":
        return True
    least = 2 if transform == "pytorch_half_pixel" else 1
    return transform in _HALF_PIXEL and all(
        axis.length >= least and axis.length == axis.size * axis.scale for axis in plan
    )


def _matrix(
    positions: Tensor,
    size: int,
    weight: Callable[[Tensor], Tensor],
    reach: int,
    stretch: float,
    exclude_outside: bool,
) -> Tensor:
    """The weights of the input's elements (columns) in each element of the result (rows)."""
    first = (positions - reach * stretch).floor() + 1
    places = first[:, None] + torch.arange(math.ceil(2 * reach * stretch))
    weights = weight((places - positions[:, None]).abs() / stretch)
    if exclude_outside:
        weights = weights * ((places >= 0) & (places < size))
    total = weights.sum(1, keepdim=True)
    weights = weights / torch.where(total == 0, 1, total)
    matrix = torch.zeros(len(positions), size, dtype=weights.dtype)
    return matrix.scatter_add(1, places.long().clamp(0, size - 1), weights)


def _extrapolated(y: Tensor, plan: list[Axis], value: float) -> Tensor:
    """`y` with `value` at the places that lie outside the input."""
    for axis in plan:
        positions = _positions(axis, _CROP)
        outside = (positions < 0) | (positions > axis.size - 1)
        outside = outside.to(y.device).reshape(-1, *(1,) * (y.ndim - axis.index - 1))
        y = torch.where(outside, value, y).to(y.dtype)
    return y
