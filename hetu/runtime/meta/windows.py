"""Convolutions, poolings, paddings and resizings."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from hetu.runtime.meta.rules import made, rule


@rule("convolution")
def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor | None:
    settings = weight.shape[2:], stride, padding, dilation
    if transposed:
        inputs, outputs = weight.shape[0], weight.shape[1] * groups
        sizes = _scattered(x.shape[2:], *settings, output_padding)
    else:
        inputs, outputs = weight.shape[1] * groups, weight.shape[0]
        sizes = _windows(x.shape[2:], *settings)
    if x.ndim != weight.ndim or x.shape[1] != inputs or x.dtype is not weight.dtype:
        return None
    return None if min(sizes) < 1 else made((x.shape[0], outputs, *sizes), x.dtype)


def _windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool = False,
) -> list[int]:
    """How many windows there are along each axis."""
    counts = []
    for size, k, s, p, d in _by_axis(sizes, kernel, stride, padding, dilation):
        room = size + 2 * p - d * (k - 1) - 1
        count = (room + (s - 1 if ceil_mode else 0)) // s + 1
        # with rounding up, the last window has to start inside of the input or its left padding
        counts.append(count - (ceil_mode and (count - 1) * s >= size + p))
    return counts


def _scattered(sizes: Sequence[int], *settings: Sequence[int]) -> list[int]:
    """The sizes of what a transposed convolution makes."""
    axes = _by_axis(sizes, *settings)
    return [(size - 1) * s - 2 * p + d * (k - 1) + more + 1 for size, k, s, p, d, more in axes]


def _by_axis(sizes: Sequence[int], *settings: Sequence[int]) -> Iterable[tuple[int, ...]]:
    """The size and the settings of each axis; a setting may be one for all."""
    rank = len(sizes)
    return zip(sizes, *(list(v) * rank if len(v) == 1 else v for v in settings), strict=True)


@rule("avg_pool2d", "avg_pool3d")
def _avg_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    *args: Any,
) -> Tensor | None:
    return _pool(x, kernel, stride, padding, (1,), ceil_mode)


@rule("max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor] | None:
    values = _pool(x, kernel, stride, padding, dilation, ceil_mode)
    return None if values is None else (values, made(values.shape, torch.int64))


def _pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
) -> Tensor | None:
    if x.ndim != len(kernel) + 2 or 0 in x.shape[1:] or not x.is_floating_point():
        return None
    sizes = _windows(x.shape[2:], kernel, stride or kernel, padding, dilation, ceil_mode)
    return None if min(sizes) < 1 else made((*x.shape[:2], *sizes), x.dtype)


@rule("constant_pad_nd")
def _pad(x: Tensor, pads: Sequence[int], value: Any = 0) -> Tensor | None:
    ends = list(zip(pads[::2], pads[1::2], strict=True))
    if len(ends) > x.ndim:
        return None
    room = [(0, 0)] * (x.ndim - len(ends)) + ends[::-1]
    sizes = [size + before + after for size, (before, after) in zip(x.shape, room, strict=True)]
    return None if min(sizes, default=0) < 0 else made(sizes, x.dtype)


@rule(
    "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d",
    "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d",
)  # fmt: skip
def _upsample(x: Tensor, sizes: Sequence[int] | None, *args: Any) -> Tensor | None:
    if sizes is None or min(sizes) < 1 or x.ndim != len(sizes) + 2:
        return None
    return made((*x.shape[:2], *sizes), x.dtype)


@rule("grid_sampler_2d", "grid_sampler_3d")
def _grid_sampler(x: Tensor, grid: Tensor, *args: Any) -> Tensor | None:
    is_fitting = x.ndim == grid.ndim and x.shape[0] == grid.shape[0] and x.dtype is grid.dtype
    return made((*x.shape[:2], *grid.shape[1:-1]), x.dtype) if is_fitting else None


@rule("_adaptive_avg_pool2d", "_adaptive_avg_pool3d")
def _adaptive_pool(x: Tensor, size: Sequence[int]) -> Tensor:
    return made((*x.shape[: -len(size)], *size), x.dtype)
