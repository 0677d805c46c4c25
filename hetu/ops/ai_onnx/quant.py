"""Quantization: to and from numbers of few bits, and products of such numbers."""

import torch

from hetu.ops import quantized as q
from hetu.ops import windows as win
from hetu.ops.kinds import Any, DType, Ints, Tensor
from hetu.ops.registry import op
from hetu.types import dtype

_UINT8 = dtype("uint8")


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
    zero_point = 0 if y_zero_point is None else q.spread(y_zero_point, x, axis, block_size)
    divided_in = y_scale.dtype if precision is None else precision.torch
    scaled = x.to(divided_in) / q.spread(y_scale, x, axis, block_size).to(divided_in)
    return q.quantized(scaled, zero_point, element, bool(saturate))


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
        x, y_scale.to(q.wide(y_scale)), y_zero_point, axis=axis, block_size=block_size,
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
    centered = q.number(x)
    if x_zero_point is not None:
        centered = centered - q.spread(x_zero_point, x, axis, block_size)
    # 16-bit integers and their differences do not fit into half precision.
    return (centered.to(q.wide(x_scale)) * q.spread(x_scale, x, axis, block_size)).to(element)


@op("DynamicQuantizeLinear", since=11)
def dynamic_quantize_linear(x: Tensor) -> tuple[Any, Tensor, Any]:
    # The range is a setting, as in torch's fake quantization: no gradient goes through it.
    low, high = x.detach().aminmax() if x.numel() else (x.new_zeros(()), x.new_zeros(()))
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = torch.where(high == low, 1.0, (high - low) / 255)
    zero_point = (-low / scale).clamp(0, 255).round()
    y = q.quantized(x / scale, zero_point, _UINT8)
    return y, scale, zero_point.to(torch.uint8)


@op("MatMulInteger", since=10, fixed=("a_zero_point", "b_zero_point"))
def mat_mul_integer(
    a: Tensor, b: Tensor, a_zero_point: Tensor | None = None, b_zero_point: Tensor | None = None
) -> Any:
    a = q.centered(a, None if a_zero_point is None else q.per_row(a_zero_point))
    return q.to_int32(q.product(a, q.centered(b, b_zero_point)))


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
    sums = q.product(q.centered(a, q.per_row(a_zero_point)), q.centered(b, b_zero_point))
    scale = q.per_row(a_scale).float() * b_scale.float() / y_scale.float()
    return q.requantized(sums, scale, y_zero_point)


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
    w = q.centered(w, None if w_zero_point is None else q.per_channel(w_zero_point, w.ndim))
    windows = win.place(x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
    return q.to_int32(q.convolved(q.centered(x, x_zero_point), w, windows, group))


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
    w = q.centered(w, q.per_channel(w_zero_point, w.ndim))
    sums = q.convolved(q.centered(x, x_zero_point), w, windows, group)
    if b is not None:
        sums = sums.double() + q.per_channel(b, w.ndim - 1)
    scale = x_scale * q.per_channel(w_scale, w.ndim - 1) / y_scale
    return q.requantized(sums, scale, y_zero_point)
