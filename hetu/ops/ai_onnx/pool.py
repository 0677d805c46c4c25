"""Pooling."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops import windows as win
from hetu.ops.kinds import Indices, Ints, Tensor
from hetu.ops.registry import op
from hetu.ops.windows import Windows

_AVERAGES = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@op("AveragePool")
def average_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    windows = win.place(tuple(x.shape[2:]), kernel_shape, strides, dilations, pads, auto_pad)
    counts = windows.counts(ceil_mode)
    if 0 in counts:
        return x.new_empty(*x.shape[:2], *counts)
    average = _AVERAGES.get(windows.rank) if max(windows.dilations) == 1 else None
    work = _pooling_type(x, windows)
    if average is not None and _torch_pads(windows):
        geometry = (windows.kernel, windows.strides, windows.begin)
        return average(x.to(work), *geometry, ceil_mode, count_include_pad).to(x.dtype)
    fitted = windows.fitted(counts)
    padded = win.pad(x.to(work), fitted.begin, fitted.end)
    if average is not None:
        y = average(padded, windows.kernel, windows.strides)
    else:
        y = win.view(padded, windows).mean(tuple(range(-windows.rank, 0)))
    corrections = torch.from_numpy(_corrections(windows, counts, count_include_pad))
    return (y * corrections.to(y)).to(x.dtype)


@lru_cache(maxsize=16)
def _corrections(windows: Windows, counts: Ints, with_pads: bool) -> np.ndarray:
    """Elements of a window per element of it that counts as one, for each window."""
    total = np.ones(())
    axes = (windows.sizes, windows.kernel, windows.strides, windows.dilations)
    ends = zip(windows.begin, windows.end, *axes, counts, strict=True)
    for begin, end, size, kernel, stride, dilation, count in ends:
        places = np.arange(count)[:, None] * stride + np.arange(kernel) * dilation
        low, high = (0, begin + size + end) if with_pads else (begin, begin + size)
        counted = ((places >= low) & (places < high)).sum(1).clip(1)
        total = total[..., None] * (kernel / counted)
    return total


@op("MaxPool")
def max_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
    n_outputs: int,
) -> tuple[Tensor, Indices | None]:
    windows = win.place(tuple(x.shape[2:]), kernel_shape, strides, dilations, pads, auto_pad)
    counts = windows.counts(ceil_mode)
    if 0 in counts:
        y = x.new_empty(*x.shape[:2], *counts)
        return y, y.long()
    # torch pools integers on some devices only; float32 holds each int8 and uint8.
    values = x if x.is_floating_point() else x.float()
    maximum = _MAXIMA.get(windows.rank)
    if maximum is not None and _torch_pads(windows):
        geometry = (windows.kernel, windows.strides, windows.begin, windows.dilations, ceil_mode)
        if n_outputs == 1:
            return maximum(values, *geometry).to(x.dtype), None
        y, places = maximum(values, *geometry, return_indices=True)
        return y.to(x.dtype), _indices(places, windows.sizes, windows, storage_order)
    windows = windows.fitted(counts)
    y, places = _max_of_padded(win.pad(values, windows.begin, windows.end, -math.inf), windows)
    if n_outputs == 1:
        return y.to(x.dtype), None
    return y.to(x.dtype), _indices(places, windows.padded, windows, storage_order)


def _max_of_padded(x: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """The maxima and where they lie in the flattened spatial axes of the padded `x`."""
    maximum = _MAXIMA.get(windows.rank)
    if maximum is not None:
        geometry = (windows.kernel, windows.strides, 0, windows.dilations)
        return maximum(x, *geometry, return_indices=True)
    y, elements = win.columns(x, windows).max(2)
    places = win.flat_places(windows, x.device)
    places = places.gather(0, elements.flatten(0, 1)).reshape(elements.shape)
    return y.unflatten(2, windows.counts()), places.unflatten(2, windows.counts())


def _indices(places: Tensor, sizes: Ints, windows: Windows, storage_order: int) -> Tensor:
    """Places in spatial axes of `sizes` as ONNX counts them: in the whole, unpadded input.

    In column-major order the spatial axes are reversed; batch and channel stay outermost.
    """
    begin = windows.begin if sizes == windows.padded else (0,) * windows.rank
    along = torch.unravel_index(places, sizes)
    axes = range(windows.rank) if storage_order == 0 else reversed(range(windows.rank))
    n, channels = places.shape[:2]
    whole = torch.arange(n * channels, device=places.device)
    whole = whole.reshape(n, channels, *(1,) * windows.rank)
    for axis in axes:
        whole = whole * windows.sizes[axis] + along[axis] - begin[axis]
    return whole


@op("LpPool", since=2)
def lp_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    p: int = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    windows = win.place(tuple(x.shape[2:]), kernel_shape, strides, dilations, pads, auto_pad)
    counts = windows.counts(ceil_mode)
    if 0 in counts:
        return x.new_empty(*x.shape[:2], *counts)
    windows = windows.fitted(counts)
    held = win.view(win.pad(x, windows.begin, windows.end), windows)
    return torch.linalg.vector_norm(held, p, tuple(range(-windows.rank, 0)))


@op("LpPool")
def lp_pool_1(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    kernel_shape: Ints | None = None,
    p: float = 2.0,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    if kernel_shape is None:
        raise ModelError("a pool needs a kernel_shape")
    return lp_pool(x, auto_pad=auto_pad, kernel_shape=kernel_shape, p=p, pads=pads, strides=strides)  # pyright: ignore[reportArgumentType]


@op("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    return x.mean(_spatial(x), keepdim=True)


@op("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    return x.amax(_spatial(x), keepdim=True)


@op("GlobalLpPool", since=2)
def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    return torch.linalg.vector_norm(x, p, _spatial(x), keepdim=True)


@op("GlobalLpPool")
def global_lp_pool_1(x: Tensor, *, p: float = 2.0) -> Tensor:
    return torch.linalg.vector_norm(x, p, _spatial(x), keepdim=True)


@op("MaxUnpool", since=9)
def max_unpool(
    x: Tensor,
    i: Tensor,
    output_shape: Ints | None = None,
    *,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    over = win.place((0,) * len(kernel_shape), kernel_shape, strides, pads=pads)
    full = over.fitted(tuple(x.shape[2:])).padded
    if output_shape is None:
        crops = zip(full, over.begin, over.end, strict=True)
        output_shape = (*x.shape[:2], *(size - begin - end for size, begin, end in crops))
    y = x.new_zeros(math.prod(output_shape))
    return y.scatter(0, i.reshape(-1), x.reshape(-1)).reshape(output_shape)


def _spatial(x: Tensor) -> Ints:
    if x.ndim < 3:
        raise ModelError(f"a pool needs at least one spatial axis, its input has {x.ndim} axes")
    return tuple(range(2, x.ndim))


def _torch_pads(windows: Windows) -> bool:
    """Whether torch's own padding serves: the same on both sides, at most half a kernel."""
    halves = all(2 * n <= k for n, k in zip(windows.begin, windows.kernel, strict=True))
    return windows.is_symmetric and halves


def _pooling_type(x: Tensor, windows: Windows) -> torch.dtype:
    """The type to average in: torch averages small floats over three axes on accelerators only."""
    is_small = x.dtype in (torch.float16, torch.bfloat16)
    return torch.float32 if is_small and windows.rank == 3 and not x.is_cuda else x.dtype
