"""Quantization's arithmetic: numbers of few bits around a zero point, their scales and products.

Codes that a gradient has to go back through are floats of the same values, as integers carry none;
all that takes codes takes those too. The gradient passes rounding as if it were not there and is 0
where the range clips: the straight-through estimator, as in torch's fake quantization.
"""

from functools import partial

import ml_dtypes
import torch
from torch.nn import functional as F  # noqa: N812

from hetu.convert import widen
from hetu.errors import UnsupportedError
from hetu.ops import windows as win
from hetu.ops.autocast import exactly
from hetu.ops.casting import convert
from hetu.types import DType, dtype

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def quantized(
    scaled: torch.Tensor, zero_point: torch.Tensor | int, element: DType, saturate: bool = True
) -> torch.Tensor:
    """Scaled numbers in the form that `element` is stored in, or as floats with a gradient."""
    low, high = limits(element)
    if element.is_float:
        shifted = scaled + zero_point
        codes = convert(shifted, element, saturate=saturate)
    else:
        shifted = scaled.round().to(wide(scaled)) + zero_point
        codes = convert(shifted.clamp(low, high), element)
    if not scaled.requires_grad:
        return codes
    is_inside = (shifted >= low) & (shifted <= high)
    return straight_through(widen(codes), torch.where(is_inside, scaled, 0.0))


def straight_through(codes: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Integers as floats that have the gradient of `x`, which they are the rounded form of."""
    return codes.to(wide(x)) + (x - x.detach())


def limits(element: DType) -> tuple[float, float]:
    """The smallest and the largest number of a type."""
    limits = ml_dtypes.finfo(element.numpy) if element.is_float else ml_dtypes.iinfo(element.numpy)
    return float(limits.min), float(limits.max)


def spread(values: torch.Tensor, x: torch.Tensor, axis: int, block_size: int) -> torch.Tensor:
    """Scales or zero points, one for all, one per index of `axis` or one per block, beside `x`."""
    values = number(widen(values))
    if block_size:
        return values.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    if values.numel() == 1:
        return values.reshape(())
    axis = axis % x.ndim if x.ndim > 1 else 0
    return values.reshape(-1, *(1,) * (x.ndim - axis - 1))


def number(x: torch.Tensor) -> torch.Tensor:
    """Integers as int32, in which their differences have room."""
    return x if x.is_floating_point() else x.to(torch.int32)


def wide(x: torch.Tensor) -> torch.dtype:
    """The type of `x` or, if that is narrower or an integer, float32."""
    return torch.promote_types(x.dtype, torch.float32)


def centered(x: torch.Tensor, zero_point: torch.Tensor | None) -> torch.Tensor:
    """Integers without their zero point."""
    return number(x) if zero_point is None else number(x) - number(zero_point)


def per_row(values: torch.Tensor) -> torch.Tensor:
    """A number for each row of a matrix, if it is not one for all, beside the matrix."""
    if values.numel() == 1:
        return values.reshape(())
    return values.unsqueeze(-1) if values.ndim == 1 else values


def per_channel(values: torch.Tensor, rank: int) -> torch.Tensor:
    """A number for each channel, if it is not one for all, beside a tensor that they come first in.

    The batch axis does not count.
    """
    return values.reshape(()) if values.numel() == 1 else values.reshape(-1, *(1,) * (rank - 1))


def _exact(terms: int) -> torch.dtype:
    """A float type that holds sums of so many products of 8-bit numbers exactly.

    Integer products are slow on the CPU and missing on the GPU.
    """
    return torch.float32 if terms * 255**2 < 1 << 24 else torch.float64


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The matrix product of small integers, exact, as floats."""
    element = _exact(a.shape[-1])
    return exactly(torch.matmul, a.to(element), b.to(element))


def convolved(x: torch.Tensor, w: torch.Tensor, windows: win.Windows, group: int) -> torch.Tensor:
    """The convolution of small integers, exact, as floats."""
    if windows.rank not in _CONVOLUTIONS:
        raise UnsupportedError(f"a convolution of integers over {windows.rank} axes")
    element = _exact(w[0].numel()) if len(w) else torch.float32
    x = win.pad(x.to(element), windows.begin, windows.end)
    options = {"stride": windows.strides, "dilation": windows.dilations, "groups": group}
    return exactly(partial(_CONVOLUTIONS[windows.rank], **options), x, w.to(element))


def to_int32(sums: torch.Tensor) -> torch.Tensor:
    """Sums beyond 32 bits wrap."""
    wrapped = sums.to(torch.int64).to(torch.int32)
    return straight_through(wrapped, sums) if sums.requires_grad else wrapped


def requantized(sums: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor) -> torch.Tensor:
    """Sums times their scale, in the type of the zero point."""
    element = dtype(zero_point.dtype)
    return quantized(sums.float() * scale, number(widen(zero_point)), element)
