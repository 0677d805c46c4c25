"""Normalization over batches, instances, layers, groups and neighbours.

torch's kernels add up in float32 or better whatever the type of their input, so `stash_type`, the
type of the first stage of some operators, only decides the type of statistics that are outputs.
"""

import math

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.autocast import together
from hetu.ops.batch_norms import by_channel, move, normalize_batch, parameter, unbiased
from hetu.ops.kinds import Context, DType, Ints, Tensor
from hetu.ops.registry import op
from hetu.types import FLOAT32


@op("BatchNormalization", since=14, buffers=("input_mean", "input_var"))
def batch_normalization(
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    input_mean: Tensor,
    input_var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: bool = False,
    ctx: Context,
) -> tuple[Tensor, ...]:
    if not ctx.is_training(training_mode):
        return _normalize(x, scale, b, input_mean, input_var, epsilon), input_mean, input_var
    y, mean, var = normalize_batch(x, scale, b, epsilon)
    moved = var if training_mode else unbiased(var, x)
    running = move(input_mean, mean, momentum), move(input_var, moved, momentum)
    return y, *running, *running


@op("BatchNormalization", since=9, buffers=("mean", "var"))
def batch_normalization_9(
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    ctx: Context,
    n_outputs: int,
) -> tuple[Tensor, ...]:
    # until version 14 a node says by its outputs that it trains
    if not ctx.is_training(n_outputs > 1):
        return _normalize(x, scale, b, mean, var, epsilon), mean, var, mean, var
    y, batch_mean, batch_var = normalize_batch(x, scale, b, epsilon)
    moved = batch_var if n_outputs > 1 else unbiased(batch_var, x)
    running = move(mean, batch_mean, momentum), move(var, moved, momentum)
    return y, *running, batch_mean.to(mean.dtype), batch_var.to(var.dtype), *running


@op("BatchNormalization", since=7, buffers=("mean", "var"))
def batch_normalization_7(
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: bool = True,
    ctx: Context,
    n_outputs: int,
) -> tuple[Tensor, ...]:
    options = {"epsilon": epsilon, "momentum": momentum, "ctx": ctx, "n_outputs": n_outputs}
    if spatial:
        return batch_normalization_9(x, scale, b, mean, var, **options)
    flat = (parameter.flatten() for parameter in (scale, b, mean, var))
    y, *statistics = batch_normalization_9(x.flatten(1), *flat, **options)
    return y.view_as(x), *(statistic.view_as(mean) for statistic in statistics)


@op("BatchNormalization", buffers=("mean", "var"))
def batch_normalization_1(
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    is_test: bool = False,
    momentum: float = 0.9,
    spatial: bool = True,
    ctx: Context,
    n_outputs: int,
) -> tuple[Tensor, ...]:
    return batch_normalization_7(
        x, scale, b, mean, var, epsilon=epsilon, momentum=momentum, spatial=spatial, ctx=ctx,
        n_outputs=1 if is_test else n_outputs,
    )  # fmt: skip


def _normalize(
    x: Tensor, scale: Tensor, b: Tensor, mean: Tensor, var: Tensor, epsilon: float
) -> Tensor:
    if mean.requires_grad or var.requires_grad:  # torch.batch_norm has no gradients for them
        shape = (-1, *(1,) * (x.ndim - 2))
        mean, var, scale, b = (p.reshape(shape) for p in (mean, var, scale, b))
        return ((x - mean) * (var + epsilon).rsqrt() * scale + b).to(x.dtype)
    scale, b, mean, var = (parameter(p, x) for p in (scale, b, mean, var))
    return torch.batch_norm(
        by_channel(x), scale, b, mean, var, False, 0.0, epsilon, torch.backends.cudnn.enabled
    ).view_as(x)


@op("InstanceNormalization")
def instance_normalization(
    input: Tensor, scale: Tensor, b: Tensor, *, epsilon: float = 1e-5
) -> Tensor:
    scale, b = _beside(input, scale, b)
    return _normalize_groups(input, input.shape[1], scale, b, epsilon)


_LONG = 1024
"""From so many numbers in a channel on, torch is as fast on channels that lie side by side."""


def _normalize_groups(x: Tensor, groups: int, scale: Tensor, b: Tensor, epsilon: float) -> Tensor:
    """Channels normalized by groups, in the order that they have in memory.

    torch copies a sequence whose channels lie side by side, but no image of one row.
    """
    if x.ndim == 3 and x.shape[2] >= _LONG and x.stride(1) == 1:
        return _normalize_groups(x.unsqueeze(2), groups, scale, b, epsilon).squeeze(2)
    return torch.group_norm(x, groups, scale, b, epsilon, torch.backends.cudnn.enabled)


@op("LayerNormalization", since=17)
def layer_normalization(
    x: Tensor,
    scale: Tensor,
    b: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: DType | None = None,
    n_outputs: int,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    y = _normalize_layer(x, scale, b, x.shape[axis:], epsilon)
    if n_outputs == 1:
        return y, None, None
    kind = (stash_type or FLOAT32).torch
    inner = tuple(range(axis % x.ndim, x.ndim))
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    var, mean = torch.var_mean(exact, inner, correction=0, keepdim=True)
    return y, mean.to(kind), (var + epsilon).rsqrt().to(kind)


def _normalize_layer(
    x: Tensor, scale: Tensor, b: Tensor | None, shape: torch.Size, epsilon: float
) -> Tensor:
    if scale.shape == shape and (b is None or b.shape == shape):
        return F.layer_norm(x, shape, *_beside(x, scale, *([] if b is None else [b])), eps=epsilon)
    y = F.layer_norm(x, shape, eps=epsilon) * scale
    return y if b is None else y + b


def _beside(x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """Scale and bias of one type that torch's kernels take beside `x`: its own or a wider one."""
    return together(x, *parameters)[1:]


@op("RMSNormalization", since=23)
def rms_normalization(
    x: Tensor,
    scale: Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: DType | None = None,
) -> Tensor:
    shape = x.shape[axis:]
    if scale.shape == shape and scale.dtype == x.dtype:
        return F.rms_norm(x, shape, scale, epsilon)
    return F.rms_norm(x, shape, eps=epsilon).to(scale.dtype) * scale


@op("GroupNormalization", since=21)
def group_normalization(
    x: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: DType | None = None,
) -> Tensor:
    scale, bias = _beside(x, scale, bias)
    return _normalize_groups(x, num_groups, scale, bias, epsilon)


@op("GroupNormalization", since=18)
def group_normalization_18(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int
) -> Tensor:
    channels = x.shape[1] // num_groups
    scale, bias = (parameter.repeat_interleave(channels) for parameter in (scale, bias))
    return group_normalization(x, scale, bias, epsilon=epsilon, num_groups=num_groups)


@op("LRN")
def lrn(
    x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Tensor:
    if x.numel() == 0:
        return x
    # torch's own operator is off by one channel where the size is even
    squares = (x * x).reshape(x.shape[0], 1, x.shape[1], math.prod(x.shape[2:]))
    padded = F.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    mean = F.avg_pool2d(padded, (size, 1), stride=1).view_as(x)
    return x / (bias + alpha * mean).pow(beta)


@op("LpNormalization")
def lp_normalization(input: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    norm = torch.linalg.vector_norm(input, p, axis, keepdim=True)
    return input / norm.masked_fill(norm == 0, 1)


@op("MeanVarianceNormalization", since=9)
def mean_variance_normalization(x: Tensor, *, axes: Ints = (0, 2, 3)) -> Tensor:
    axes = tuple(axis for axis in axes if axis < x.ndim)  # the default is for images
    centered = x - x.mean(axes, keepdim=True)
    # a norm has a gradient where the deviation is 0, a square root has not
    count = math.prod(x.shape[axis] for axis in axes)
    deviation = torch.linalg.vector_norm(centered, 2, axes, keepdim=True) / math.sqrt(count)
    return centered / (deviation + 1e-9)


@op("MeanVarianceNormalization")
def mean_variance_normalization_1(
    input: Tensor, *, across_channels: bool = False, normalize_variance: bool = True
) -> Tensor:
    """The experimental operator: without `across_channels`, each channel of the batch by itself."""
    axes = tuple(axis for axis in range(input.ndim) if across_channels or axis != 1)
    if normalize_variance:
        return mean_variance_normalization(input, axes=axes)
    return input - input.mean(axes, keepdim=True)
