"""Operators from 8-bit numbers to 8-bit numbers, each tensor with a scale and a zero point."""

import torch

from hetu.ops import quantized as q
from hetu.ops.ai_onnx.pool import average_pool
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import op
from hetu.types import dtype

DOMAIN = "com.microsoft"
_BINARY = ("a_scale", "a_zero_point", "b_scale", "b_zero_point", "c_scale", "c_zero_point")
_UNARY = ("x_scale", "x_zero_point", "y_scale", "y_zero_point")


def _floats(codes: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
    return q.centered(codes, zero_point).to(scale.dtype) * scale


def _codes(y: Tensor, scale: Tensor, zero_point: Tensor | None, like: Tensor) -> Tensor:
    """Floats in steps of `scale`, in the type of the zero point or, if there is none, of `like`."""
    if zero_point is not None:
        return q.quantized(y / scale, q.number(zero_point), dtype(zero_point.dtype))
    # Codes with a gradient are floats; without any zero point, they are of QuantizeLinear's type.
    return q.quantized(y / scale, 0, dtype(torch.uint8 if like.is_floating_point() else like.dtype))


@op("QLinearAdd", domain=DOMAIN, fixed=_BINARY)
def q_linear_add(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor | None,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None,
    c_scale: Tensor,
    c_zero_point: Tensor | None = None,
) -> Any:
    c = _floats(a, a_scale, a_zero_point) + _floats(b, b_scale, b_zero_point)
    return _codes(c, c_scale, c_zero_point, a)


@op("QLinearMul", domain=DOMAIN, fixed=_BINARY)
def q_linear_mul(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor | None,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None,
    c_scale: Tensor,
    c_zero_point: Tensor | None = None,
) -> Any:
    c = _floats(a, a_scale, a_zero_point) * _floats(b, b_scale, b_zero_point)
    return _codes(c, c_scale, c_zero_point, a)


@op("QLinearLeakyRelu", domain=DOMAIN, fixed=_UNARY)
def q_linear_leaky_relu(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
    *,
    alpha: float = 0.01,
) -> Any:
    y = torch.nn.functional.leaky_relu(_floats(x, x_scale, x_zero_point), alpha)
    return _codes(y, y_scale, y_zero_point, x)


@op("QLinearSigmoid", domain=DOMAIN, fixed=_UNARY)
def q_linear_sigmoid(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
) -> Any:
    return _codes(torch.sigmoid(_floats(x, x_scale, x_zero_point)), y_scale, y_zero_point, x)


@op("QLinearSoftmax", domain=DOMAIN, fixed=_UNARY)
def q_linear_softmax(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor,
    *,
    axis: int = -1,
    opset: int,
) -> Any:
    values = _floats(x, x_scale, x_zero_point).double()
    if opset < 13:  # over all axes from this one on
        y = values.flatten(axis % x.ndim).softmax(-1).reshape(x.shape)
    else:
        y = values.softmax(axis)
    # ONNX Runtime has a whole number of steps from 0 to 1, and rounds the middle of two up
    codes = (y * (1 / y_scale).floor() + 0.5).floor()
    return q.quantized(codes, q.number(y_zero_point), dtype(x.dtype))


@op("QLinearGlobalAveragePool", domain=DOMAIN, fixed=_UNARY)
def q_linear_global_average_pool(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    *,
    channels_last: bool = False,
) -> Any:
    axes = tuple(range(1, x.ndim - 1) if channels_last else range(2, x.ndim))
    y = _floats(x, x_scale, x_zero_point).mean(axes, keepdim=True)
    return _codes(y, y_scale, y_zero_point, x)


@op("QLinearAveragePool", domain=DOMAIN, fixed=_UNARY)
def q_linear_average_pool(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor | None,
    y_scale: Tensor,
    y_zero_point: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    channels_last: bool = False,
    count_include_pad: bool = False,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    values = _floats(x, x_scale, x_zero_point)
    y = average_pool(
        values.movedim(-1, 1) if channels_last else values, auto_pad=auto_pad,
        ceil_mode=ceil_mode, count_include_pad=count_include_pad, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    return _codes(y.movedim(1, -1) if channels_last else y, y_scale, y_zero_point, x)


@op(
    "QLinearReduceMean", domain=DOMAIN,
    fixed=("data_scale", "data_zero_point", "reduced_scale", "reduced_zero_point"),
)  # fmt: skip
def q_linear_reduce_mean(
    data: Tensor,
    data_scale: Tensor,
    data_zero_point: Tensor | None,
    reduced_scale: Tensor,
    reduced_zero_point: Tensor | None = None,
    *,
    axes: Ints,
    keepdims: bool,
) -> Any:
    mean = _floats(data, data_scale, data_zero_point).mean(axes, keepdim=keepdims)
    return _codes(mean, reduced_scale, reduced_zero_point, data)


@op(
    "QLinearWhere", domain=DOMAIN,
    fixed=("x_scale", "x_zero_point", "y_scale", "y_zero_point", "z_scale", "z_zero_point"),
)  # fmt: skip
def q_linear_where(
    condition: Any,
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    y: Tensor,
    y_scale: Tensor,
    y_zero_point: Tensor,
    z_scale: Tensor,
    z_zero_point: Tensor,
) -> Any:
    xs, ys = _floats(x, x_scale, x_zero_point), _floats(y, y_scale, y_zero_point)
    return _codes(torch.where(condition, xs, ys), z_scale, z_zero_point, x)


@op("QLinearConcat", domain=DOMAIN, fixed=("y_scale", "y_zero_point", "inputs"))
def q_linear_concat(y_scale: Tensor, y_zero_point: Tensor, *inputs: Any, axis: int) -> Any:
    parts = [_floats(*inputs[i : i + 3]) for i in range(0, len(inputs), 3)]
    return _codes(torch.cat(parts, axis), y_scale, y_zero_point, y_zero_point)
