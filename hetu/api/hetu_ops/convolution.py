"""Convolution, pooling, normalisation and resizing of images (N, C, H, W)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hetu import ir
from hetu.api.hetu_ops.parts import dims, filled, is_opset, like, rank
from hetu.api.hetu_ops.reduction import reduce_sum_op
from hetu.api.opset import version_for
from hetu.api.value import Value, constant, make
from hetu.errors import UsageError, show
from hetu.types import FLOAT32, INT64

Pair = int | Sequence[int]


def conv2d_op(
    node_A: Value, node_B: Value, padding: Pair = 0, stride: Pair = 1, ctx: Any = None
) -> Value:
    """Convolution with filters (O, C, kH, kW); `padding` zeros on both sides of both axes."""
    return make("Conv", node_A, node_B, pads=_pads(padding), strides=_pair(stride))


def conv2d_add_bias_op(
    node_A: Value,
    node_B: Value,
    bias: Value,
    padding: Pair = 0,
    stride: Pair = 1,
    ctx: Any = None,
) -> Value:
    """Convolution with filters (O, C, kH, kW), plus one number per channel."""
    return make("Conv", node_A, node_B, bias, pads=_pads(padding), strides=_pair(stride))


def conv2d_broadcastto_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """One number per channel (C,) spread over the shape of `node_B`."""
    per_channel = make("Unsqueeze", node_A, axes=[1, 2])
    return make("Expand", per_channel, make("Shape", node_B))


def conv2d_reducesum_op(node: Value, ctx: Any = None) -> Value:
    """The sum of each channel (C,)."""
    return reduce_sum_op(node, [0, 2, 3])


def avg_pool2d_op(
    node_A: Value, kernel_H: int, kernel_W: int, padding: int, stride: int, ctx: Any = None
) -> Value:
    """The mean of every window; the zeros of the padding count."""
    return make(
        "AveragePool", node_A, kernel_shape=[kernel_H, kernel_W], pads=_pads(padding),
        strides=_pair(stride), count_include_pad=1,
    )  # fmt: skip


def max_pool2d_op(
    node_A: Value, kernel_H: int, kernel_W: int, padding: int, stride: int, ctx: Any = None
) -> Value:
    """The largest element of every window."""
    return make(
        "MaxPool", node_A, kernel_shape=[kernel_H, kernel_W], pads=_pads(padding),
        strides=_pair(stride),
    )  # fmt: skip


def batch_normalization_op(
    node_in: Value,
    bn_scale: Value,
    bn_bias: Value,
    momentum: float = 0.1,
    eps: float = 1e-05,
    ctx: Any = None,
) -> Value:
    """Each channel with mean 0 and variance 1 over the batch, then scaled and shifted.

    The running mean and variance, which take the batch's place where nothing trains, are variables
    called after `bn_scale`; they move by `momentum` in every training run.
    """
    mean, variance = _statistic(bn_scale, "mean", 0), _statistic(bn_scale, "var", 1)
    return make(
        "BatchNormalization", node_in, _vector(bn_scale), _vector(bn_bias), mean, variance,
        epsilon=eps, momentum=1 - momentum,
    )  # fmt: skip


def layer_normalization_op(
    node_in: Value, ln_scale: Value, ln_bias: Value, eps: float = 0.01, ctx: Any = None
) -> Value:
    """Mean 0 and variance 1 over the last axis, then scaled and shifted."""
    if is_opset(17, node_in):
        return make("LayerNormalization", node_in, ln_scale, ln_bias, axis=-1, epsilon=eps)
    centered = node_in - make("ReduceMean", node_in, axes=[-1], keepdims=1)
    variance = make("ReduceMean", centered * centered, axes=[-1], keepdims=1)
    return centered / make("Sqrt", variance + eps) * ln_scale + ln_bias


def instance_normalization2d_op(node_in: Value, eps: float = 0.01, ctx: Any = None) -> Value:
    """Mean 0 and variance 1 over height and width, for every sample and channel."""
    n_channels, element = dims(node_in, 1), node_in.dtype or FLOAT32
    scale, shift = filled(n_channels, 1, element), filled(n_channels, 0, element)
    return make("InstanceNormalization", node_in, scale, shift, epsilon=eps)


def interpolate_op(
    input: Value,
    size: Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "bicubic",
    align_corners: bool = False,
    ctx: Any = None,
) -> Value:
    """The image at another size (H, W), or larger by a factor, with cubic interpolation."""
    if mode != "bicubic":
        raise UsageError(f"interpolate_op: mode {show(mode)}; only 'bicubic' is known")
    if (size is None) == (scale_factor is None):
        raise UsageError("interpolate_op: give either size or scale_factor")
    corners = "align_corners" if align_corners else "half_pixel"
    options: dict[str, Any] = {"mode": "cubic", "coordinate_transformation_mode": corners}
    if size is None:
        scales = np.ones(4, np.float32)
        scales[2:] = scale_factor
        return make("Resize", input, None, scales, **options)
    sizes = make("Concat", dims(input, 0, 1), constant(_pair(size), INT64), axis=0)
    return make("Resize", input, None, None, sizes, **options)


def pad_op(
    node_A: Value,
    paddings: Sequence[Sequence[int]],
    mode: str = "CONSTANT",
    constant_values: float = 0,
    ctx: Any = None,
) -> Value:
    """`node_A` with more elements before and after those it has.

    `paddings` holds a pair (before, after) for each of the last dimensions. Where neither the rank
    is known nor the opset (18) lets it be unknown, it is taken to be 4.
    """
    before, after = (list(column) for column in zip(*paddings, strict=True))
    axes = None
    if version_for("", [node_A]) >= 18:
        axes = list(range(-len(before), 0))
    else:
        spared = [0] * ((rank(node_A) or 4) - len(before))
        before, after = spared + before, spared + after
    filling = like(constant_values, node_A) if constant_values else None
    return make(
        "Pad", node_A, pads=before + after, constant_value=filling, axes=axes, mode=mode.lower()
    )


def _pair(numbers: Pair) -> list[int]:
    return [numbers, numbers] if isinstance(numbers, int) else list(numbers)


def _pads(padding: Pair) -> list[int]:
    return _pair(padding) * 2


def _statistic(scale: Value, kind: str, start: float) -> Value:
    """A variable for a running statistic, with as many elements as the scale."""
    shape = scale.shape
    if shape is None or not all(isinstance(size, int) for size in shape):
        raise UsageError(
            "batch_normalization_op: the shape of bn_scale must be known; make it a variable"
        )
    array = np.full(math.prod(shape), start, (scale.dtype or FLOAT32).numpy)
    name = f"{scale.name or 'batch_normalization'}_running_{kind}"
    data = ir.Tensor(array)
    return Value(name, data.type, data=data)


def _vector(value: Value) -> Value:
    """The value as a vector: scripts also write scales as (1, C, 1, 1)."""
    return value if rank(value) == 1 else make("Reshape", value, [-1])
