"""Functions of each element of one value, and choices between elements."""

from typing import Any

from hetu.api.hetu_ops.parts import as_mask, cast, clipped, dims, filled, is_opset, like, rank
from hetu.api.value import Value, constant, make
from hetu.errors import UsageError, show
from hetu.types import BOOL, FLOAT32, INT64

TOLERANCE = 1e-6
"""Numbers that `bool_op` takes for equal differ by no more."""


def opposite_op(node: Value, ctx: Any = None) -> Value:
    """`-node`."""
    return make("Neg", node)


def abs_op(node_A: Value, ctx: Any = None) -> Value:
    """The absolute value."""
    return make("Abs", node_A)


def exp_op(node: Value, ctx: Any = None) -> Value:
    """`e ** node`."""
    return make("Exp", node)


def log_op(input: Value, eps: float = 1e-07, ctx: Any = None) -> Value:
    """The natural logarithm of `max(input, eps)`; of `input` itself where `eps` is 0."""
    return make("Log", clipped(input, eps) if eps else input)


def sqrt_op(node: Value, ctx: Any = None) -> Value:
    """The square root."""
    return make("Sqrt", node)


def rsqrt_op(node: Value, ctx: Any = None) -> Value:
    """`1 / sqrt(node)`."""
    return make("Reciprocal", make("Sqrt", node))


def floor_op(node: Value, ctx: Any = None) -> Value:
    """The largest whole number that is not larger."""
    return make("Floor", node)


def sign_op(node: Value, ctx: Any = None) -> Value:
    """-1, 0 or 1."""
    return make("Sign", node)


def sin_op(node: Value, ctx: Any = None) -> Value:
    """The sine."""
    return make("Sin", node)


def cos_op(node: Value, ctx: Any = None) -> Value:
    """The cosine."""
    return make("Cos", node)


def tanh_op(node: Value, ctx: Any = None) -> Value:
    """The hyperbolic tangent."""
    return make("Tanh", node)


def sigmoid_op(node: Value, ctx: Any = None) -> Value:
    """`1 / (1 + exp(-node))`."""
    return make("Sigmoid", node)


def relu_op(node: Value, ctx: Any = None) -> Value:
    """`max(node, 0)`."""
    return make("Relu", node)


def leaky_relu_op(node: Value, alpha: float, ctx: Any = None) -> Value:
    """`node` where it is positive, else `alpha * node`."""
    return make("LeakyRelu", node, alpha=alpha)


def gelu_op(node: Value, ctx: Any = None) -> Value:
    """`node` times the normal distribution's probability of less (Hendrycks and Gimpel 2016)."""
    if is_opset(20, node):
        return make("Gelu", node)
    return node * 0.5 * (make("Erf", node * 0.5**0.5) + 1.0)


def binary_step_op(node: Value, ctx: Any = None) -> Value:
    """1 where `node` is positive, else 0; the gradient is that of a smooth step around 0."""
    return make("BinaryStep", node, domain="hetu")


def bool_op(
    node: Value,
    input: Value | None = None,
    val: float | None = None,
    cond: int = 0,
    ctx: Any = None,
) -> Value:
    """1.0 where `node` compares with `input`, or with the number `val`, else 0.0.

    `cond`: 0 is ==, 1 is <, 2 is >, 3 is <=, 4 is >=; what differs by 1e-6 counts as equal. With
    neither `input` nor `val` the comparison is `node > 0`.
    """
    if input is None and val is None:
        return cast(make("Greater", node, like(0, node)), FLOAT32)
    other = like(val, node) if input is None else input
    if cond not in range(5):
        raise UsageError(
            f"bool_op: cond is 0 (==), 1 (<), 2 (>), 3 (<=) or 4 (>=), not {show(cond)}"
        )
    margin = like(TOLERANCE, node)
    above, below = make("Add", other, margin), make("Sub", other, margin)
    if cond == 0:
        result = make("And", make("LessOrEqual", node, above), make("GreaterOrEqual", node, below))
    else:
        op_type = {1: "Less", 2: "Greater", 3: "LessOrEqual", 4: "GreaterOrEqual"}[cond]
        result = make(op_type, node, above if cond in (2, 3) else below)
    return cast(result, FLOAT32)


def clamp_op(
    node_A: Value,
    min_mat: Value | None = None,
    max_mat: Value | None = None,
    min: float | None = None,
    max: float | None = None,
    ctx: Any = None,
) -> Value:
    """`node_A` cut off at the numbers `min` and `max` and at the values `min_mat` and `max_mat`."""
    if min is not None or max is not None:
        node_A = clipped(node_A, min, max)
    if min_mat is not None:
        node_A = make("Max", node_A, min_mat)
    return node_A if max_mat is None else make("Min", node_A, max_mat)


def masked_fill_op(input: Value, mask: Value, val: float, ctx: Any = None) -> Value:
    """`val` where `mask` is 1, else `input`."""
    is_filled = mask if mask.dtype is BOOL else make("Equal", mask, like(1, mask))
    return make("Where", is_filled, like(val, input), input)


def mask_op(input: Value, mask: Value, ctx: Any = None) -> Value:
    """`input`, with zeros where `mask` is 0; the mask may lack the last dimensions of `input`."""
    return make("Where", trailing_ones(as_mask(mask), input), input, like(0, input))


def where_op(cond: Value, node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """`node_A` where `cond` is not zero, else `node_B`."""
    return make("Where", as_mask(cond), node_A, node_B)


def where_const_op(cond: Value, node_A: Value, const_attr: float, ctx: Any = None) -> Value:
    """`node_A` where `cond` is not zero, else the number `const_attr`."""
    return make("Where", as_mask(cond), node_A, like(const_attr, node_A))


def oneslike_op(node: Value, ctx: Any = None) -> Value:
    """Ones, in the shape of `node`."""
    return full_like_op(node, 1)


def zeroslike_op(node: Value, ctx: Any = None) -> Value:
    """Zeros, in the shape of `node`."""
    return full_like_op(node, 0)


def full_like_op(node: Value, fill_value: float, ctx: Any = None) -> Value:
    """The number `fill_value` everywhere, in the shape of `node`."""
    return filled(make("Shape", node), fill_value, node.dtype or FLOAT32)


def stop_gradient_op(node: Value, ctx: Any = None) -> Value:
    """`node`, through which no gradient flows."""
    return make("StopGradient", node, domain="hetu")


def dropout_op(
    node_in: Value,
    keep_prob: float,
    recompute: bool = True,
    inplace: bool = False,
    ctx: Any = None,
) -> Value:
    """`node_in`; in training, each element is kept with probability `keep_prob` and scaled, else 0.

    `recompute` and `inplace` have no effect.
    """
    return make("Dropout", node_in, ratio=1 - keep_prob)


def dropout2d_op(node_in: Value, keep_prob: float, ctx: Any = None) -> Value:
    """Dropout of whole channels of an image (N, C, H, W)."""
    channels = make("Concat", dims(node_in, 0, 1), constant([1, 1], INT64), axis=0)
    ones = filled(channels, 1, node_in.dtype or FLOAT32)
    return make("Mul", node_in, make("Dropout", ones, ratio=1 - keep_prob))


def trailing_ones(value: Value, other: Value) -> Value:
    """`value` with dimensions of size 1 at its end, as many as `other` has more."""
    here, there = rank(value), rank(other)
    if here is not None and there is not None:
        new_axes = list(range(here, there))
        return make("Unsqueeze", value, axes=new_axes) if new_axes else value
    shape = make("Shape", value)
    n_missing = make("Sub", make("Shape", make("Shape", other)), make("Shape", shape))
    return make("Reshape", value, make("Concat", shape, filled(n_missing, 1, INT64), axis=0))
