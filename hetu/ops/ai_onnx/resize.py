"""Resampling: Upsample, Resize, GridSample, AffineGrid."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops import sampling
from hetu.ops.autocast import exactly, outside_autocast
from hetu.ops.kinds import Floats, Ints, Tensor
from hetu.ops.registry import op

_TORCH_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
_HALF_PIXEL = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel")
_CROP = "tf_crop_and_resize"
_MAX_TORCH_FACTOR = 32
"""torch multiplies by a float32 reciprocal: up to 40 its nearest elements are the exact ones."""

_ROUNDINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
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
    with outside_autocast(theta.device):  # coordinates
        # torch has no axes of one element in 16 bits
        wide = theta.float() if theta.dtype.itemsize < 4 else theta
        grid = F.affine_grid(wide, list(size), align_corners=align_corners)
    return grid.to(theta.dtype)


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


def _positions(axis: Axis, transform: str) -> np.ndarray:
    """Where each element of the result lies in the input.

    In float32, as in ONNX Runtime: which element is nearest hangs on the rounding.
    """
    x = np.arange(axis.length, dtype=np.float32)
    last, steps = axis.size - 1, axis.length - 1
    match transform:
        case "pytorch_half_pixel" if not steps:
            return x
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
    if _is_spatial(x, plan) and all(_repeats(axis, transform, nearest_mode) for axis in plan):
        return F.interpolate(x, _spatial_lengths(x, plan), mode="nearest")
    for axis in plan:
        places = torch.from_numpy(_places(axis, transform, nearest_mode))
        x = x.index_select(axis.index, places.to(x.device))
    return x


@lru_cache
def _places(axis: Axis, transform: str, nearest_mode: str) -> np.ndarray:
    """The nearest element of the input for each element of the result."""
    positions = _positions(axis, transform).astype(np.float64)
    return _ROUNDINGS[nearest_mode](positions).clip(0, axis.size - 1).astype(np.int64)


@lru_cache
def _repeats(axis: Axis, transform: str, nearest_mode: str) -> bool:
    """Whether each element is simply repeated, in a way that `F.interpolate` does too."""
    factor, rest = divmod(axis.length, axis.size)
    if rest or factor > _MAX_TORCH_FACTOR:
        return False
    repeated = np.arange(axis.size).repeat(factor)
    return np.array_equal(_places(axis, transform, nearest_mode), repeated)


def _is_spatial(x: Tensor, plan: list[Axis]) -> bool:
    """Whether `F.interpolate` takes `x` and all the axes that change."""
    spatial = all(axis.index >= 2 and axis.length > 0 for axis in plan) and x.ndim in _TORCH_LINEAR
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
    settings = (transform, mode, cubic_coeff_a, exclude_outside, antialias)
    y = x.to(sampling.float_type(x))
    for axis in reversed(plan):
        matrix = torch.from_numpy(_matrix(axis, *settings)).to(y)
        y = exactly(F.linear, y.movedim(axis.index, -1), matrix).movedim(-1, axis.index)
        y = y if x.is_floating_point() else _whole(y, x.dtype, rounds=antialias)
    return y.to(x.dtype)


def _whole(y: Tensor, element: torch.dtype, rounds: bool) -> Tensor:
    """What lies within an integer type: ONNX Runtime rounds after each axis with antialias."""
    limits = torch.iinfo(element)
    return ((y + 0.5).floor() if rounds else y).clamp(limits.min, limits.max)


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


@lru_cache(maxsize=16)
def _matrix(
    axis: Axis,
    transform: str,
    mode: str,
    cubic_coeff_a: float,
    exclude_outside: bool,
    antialias: bool,
) -> np.ndarray:
    """The weights of the input's elements (columns) in each element of the result (rows)."""
    stretch = max(1.0, 1 / axis.scale) if antialias and axis.length else 1.0
    reach = stretch * (1 if mode == "linear" else 2)
    positions = _positions(axis, transform).astype(np.float64)[:, None]
    places = np.floor(positions - reach) + 1 + np.arange(math.ceil(2 * reach))
    distances = np.abs(places - positions) / stretch
    weights = 1 - distances.clip(0, 1) if mode == "linear" else _cubic(distances, cubic_coeff_a)
    if exclude_outside:
        weights *= (places >= 0) & (places < axis.size)
    total = weights.sum(1, keepdims=True)
    matrix = np.zeros((axis.length, axis.size))
    rows = np.arange(axis.length)[:, None]
    columns = places.astype(np.int64).clip(0, axis.size - 1)
    np.add.at(matrix, (rows, columns), weights / np.where(total == 0, 1, total))
    return matrix


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """The weight of an element at a distance (Keys 1981, equation 4)."""
    near, far = distance.clip(0, 1), distance.clip(1, 2)
    inner = ((a + 2) * near - (a + 3)) * near * near + 1
    return inner + ((far - 5) * far + 8) * far * a - 4 * a


def _extrapolated(y: Tensor, plan: list[Axis], value: float) -> Tensor:
    """`y` with `value` at the places that lie outside the input."""
    for axis in plan:
        positions = _positions(axis, _CROP)
        outside = (positions < 0) | (positions > axis.size - 1)
        outside = outside.reshape(-1, *(1,) * (y.ndim - axis.index - 1))
        y = torch.where(torch.from_numpy(outside).to(y.device), value, y).to(y.dtype)
    return y
