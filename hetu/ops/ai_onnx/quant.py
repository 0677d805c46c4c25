"""Quantization: to and from numbers of few bits, and products of such numbers."""

import ml_dtypes
import torch
from torch.nn import functional as F  # noqa: N812

from hetu.convert import widen
from hetu.errors import UnsupportedError
from hetu.ops import windows as win
from hetu.ops.casting import convert
from hetu.ops.kinds import Any, DType, Ints, Tensor
from hetu.ops.registry import op
from hetu.types import dtype

_UINT8 = dtype("uint8")
_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@op("QuantizeLinear", since=23, fixed=("y_scale", "y_zero_point"))
def quantize_linear(
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
    precision: DType | None = None,
    saturate: int = 1,
) -> Any:
    element = (output_dtype or _UINT8) if y_zero_point is None else dtype(y_zero_point.dtype)
    zero_point = 0 if y_zero_point is None else _spread(y_zero_point, x, axis, block_size)
    divided_in = y_scale.dtype if precision is None else precision.torch
    scaled = x.to(divided_in) / _spread(y_scale, x, axis, block_size).to(divided_in)
    return _quantized(scaled, zero_point, element, bool(saturate))


@op("StraightThrough", domain="hetu", fixed=("y_scale", "y_zero_point"))
def straight_through(
    y: Tensor,
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
    precision: DType | None = None,
) -> Any:
    """`y`, which `x` became by QuantizeLinear and back, with the gradient of `x` clipped to range.

    The straight-through estimator, as in torch's fake quantization.
    """
    if not x.requires_grad:
        return y
    element = (output_dtype or _UINT8) if y_zero_point is None else dtype(y_zero_point.dtype)
    zero_point = 0 if y_zero_point is None else _spread(y_zero_point, x, axis, block_size)
    low, high = _limits(element)
    shifted = (x.detach() / _spread(y_scale, x, axis, block_size)).round() + zero_point
    is_inside = (shifted >= low) & (shifted <= high)
    return y + torch.where(is_inside, x - x.detach(), 0.0).to(y.dtype)


@op("QuantizeLinear", since=10, fixed=("y_scale", "y_zero_point"))
def quantize_linear_10(
    x: Tensor,
    y_scale: Tensor,
    y_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
    saturate: int = 1,
) -> Any:
    # Version 23 made the scale's type the one to divide in; before, it was float32 for all.
    return quantize_linear(
        x, y_scale.to(_wide(y_scale)), y_zero_point, axis=axis, block_size=block_size,
        output_dtype=output_dtype, saturate=saturate,
    )  # fmt: skip


@op("DequantizeLinear", since=10, fixed=("x_scale", "x_zero_point"))
def dequantize_linear(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
) -> Any:
    element = x_scale.dtype if output_dtype is None else output_dtype.torch
    centered = _number(x)
    if x_zero_point is not None:
        centered = centered - _spread(x_zero_point, x, axis, block_size)
    # 16-bit integers and their differences do not fit into half precision.
    return (centered.to(_wide(x_scale)) * _spread(x_scale, x, axis, block_size)).to(element)


def _quantized(
    scaled: torch.Tensor, zero_point: torch.Tensor | int, element: DType, saturate: bool = True
) -> torch.Tensor:
    """Scaled numbers in the form that `element` is stored in."""
    if element.is_float:
        return convert(scaled + zero_point, element, saturate=saturate)
    shifted = scaled.round().to(_wide(scaled)) + zero_point
    return convert(shifted.clamp(*_limits(element)), element)


def _limits(element: DType) -> tuple[float, float]:
    """The smallest and the largest number of a type."""
    limits = ml_dtypes.finfo(element.numpy) if element.is_float else ml_dtypes.iinfo(element.numpy)
    return float(limits.min), float(limits.max)


def _spread(values: torch.Tensor, x: torch.Tensor, axis: int, block_size: int) -> torch.Tensor:
    """Scales or zero points, one for all, one per index of `axis` or one per block, beside `x`."""
    values = _number(widen(values))
    if block_size:
        return values.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    if values.numel() == 1:
        return values.reshape(())
    axis = axis % x.ndim if x.ndim > 1 else 0
    return values.reshape(-1, *(1,) * (x.ndim - axis - 1))


def _number(x: torch.Tensor) -> torch.Tensor:
    """Integers as int32, in which their differences have room."""
    return x if x.is_floating_point() else x.to(torch.int32)


def _wide(x: torch.Tensor) -> torch.dtype:
    """The type of `x` or, if that is narrower or an integer, float32."""
    return torch.promote_types(x.dtype, torch.float32)


@op("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(x: Tensor) -> tuple[Any, Tensor, Any]:
    low, high = x.aminmax() if x.numel() else (x.new_zeros(()), x.new_zeros(()))
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = torch.where(high == low, 1.0, (high - low) / 255)
    zero_point = (-low / scale).clamp(0, 255).round()
    y = _quantized(x / scale, zero_point, _UINT8)
    return y, scale, zero_point.to(torch.uint8)


@op("MatMulInteger", since=10, fixed=("a_zero_point", "b_zero_point"))
def mat_mul_integer(
    a: Tensor, b: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Any:
    a = _centered(a, None if a_zero_point is None else _per_row(a_zero_point))
    return _to_int32(_product(a, _centered(b, b_zero_point)))


@op(
    "QLinearMatMul", since=10,
    fixed=("a_scale", "a_zero_point", "b_scale", "b_zero_point", "y_scale", "y_zero_point"),
)  # fmt: skip
def q_linear_mat_mul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Any,
) -> Any:
    sums = _product(_centered(a, _per_row(a_zero_point)), _centered(b, b_zero_point))
    scale = _per_row(a_scale).float() * b_scale.float() / y_scale.float()
    return _requantized(sums, scale, y_zero_point)


@op("ConvInteger", since=10, fixed=("x_zero_point", "w_zero_point"))
def conv_integer(
    x: Tensor,
    w: Tensor,
    x_zero_point: Tensor | None = None,
    w_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    w = _centered(w, None if w_zero_point is None else _per_channel(w_zero_point, w.ndim))
    windows = win.place(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
    return _to_int32(_convolved(_centered(x, x_zero_point), w, windows, group))


@op(
    "QLinearConv", since=10,
    fixed=("x_scale", "x_zero_point", "w_scale", "w_zero_point", "y_scale", "y_zero_point"),
)  # fmt: skip
def q_linear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Any,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    windows = win.place(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
    w = _centered(w, _per_channel(w_zero_point, w.ndim))
    sums = _convolved(_centered(x, x_zero_point), w, windows, group)
    if b is not None:
        sums = sums.double() + _per_channel(b, w.ndim - 1)
    scale = x_scale * _per_channel(w_scale, w.ndim - 1) / y_scale
    return _requantized(sums, scale, y_zero_point)


def _centered(x: torch.Tensor, zero_point: torch.Tensor | None) -> torch.Tensor:
    return _number(x) if zero_point is None else _number(x) - _number(zero_point)


def _per_row(values: torch.Tensor) -> torch.Tensor:
    """A number for each row of a matrix, if it is not one for all, beside the matrix."""
    if values.numel() == 1:
        return values.reshape(())
    return values.unsqueeze(-1) if values.ndim == 1 else values


def _per_channel(values: torch.Tensor, rank: int) -> torch.Tensor:
    """A number for each channel, if it is not one for all, beside a tensor that they come first in.

    The batch axis does not count.
    """
    return values.reshape(()) if values.numel() == 1 else values.reshape(-1, *(1,) * (rank - 1))


def _exact(terms: int) -> torch.dtype:
    """A float type that holds sums of so many products of 8-bit numbers exactly.

    Integer products are slow on the CPU and missing on the GPU.
    """
    return torch.float32 if terms * 255**2 < 1 << 24 else torch.float64


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    element = _exact(a.shape[-1])
    return a.to(element) @ b.to(element)


def _convolved(x: torch.Tensor, w: torch.Tensor, windows: win.Windows, group: int) -> torch.Tensor:
    if windows.rank not in _CONVOLUTIONS:
        raise UnsupportedError(f"a convolution of integers over {windows.rank} axes")
    element = _exact(w[0].numel()) if len(w) else torch.float32
    x = win.pad(x.to(element), windows.begin, windows.end)
    convolve = _CONVOLUTIONS[windows.rank]
    return convolve(x, w.to(element), None, windows.strides, 0, windows.dilations, group)


def _to_int32(sums: torch.Tensor) -> torch.Tensor:
    """Sums beyond 32 bits wrap."""
    return sums.to(torch.int64).to(torch.int32)


def _requantized(sums: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor) -> torch.Tensor:
    element = dtype(zero_point.dtype)
    return _quantized(sums.float() * scale, _number(widen(zero_point)), element)
