"""Normalizations: of rows, and of batches by statistics that are known or their own in training."""

from hetu.ops import native
from hetu.ops.batch_norms import move, normalize_images, unbiased
from hetu.ops.kinds import Floats, Tensor
from hetu.ops.registry import FUSED, op


@op("ChannelAffine", domain=FUSED)
def channel_affine(
    x: Tensor, scale: Tensor, shift: Tensor, *, activation: str = "", numbers: Floats = ()
) -> Tensor:
    """`activation(scale * x + shift, *numbers)` with a factor and a summand of each channel."""
    return native.scale_channels(x, scale, shift, activation, numbers)


@op("LayerNorm", domain=FUSED)
def layer_norm(x: Tensor, scale: Tensor, b: Tensor | None = None, *, epsilon: float) -> Tensor:
    """`(x - mean) / sqrt(variance + epsilon) * scale + b` over the last axis."""
    return native.layer_norm(x, scale, b, epsilon)


@op("RMSNorm", domain=FUSED)
def rms_norm(x: Tensor, scale: Tensor, *, epsilon: float) -> Tensor:
    """`x / sqrt(mean(x * x) + epsilon) * scale` over the last axis."""
    return native.rms_norm(x, scale, epsilon)


@op("TrainedBatchNorm", domain=FUSED, buffers=("mean", "var"))
def trained_batch_norm(
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float,
    momentum: float,
    moves_to_population: bool,
    rectifies: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Images normalized by their own statistics, or the positive part of that.

    The running variance moves to the population's, or to the unbiased estimate.
    """
    y, batch_mean, batch_var = normalize_images(x, scale, b, epsilon, rectifies)
    moved = batch_var if moves_to_population else unbiased(batch_var, x)
    return y, move(mean, batch_mean, momentum), move(var, moved, momentum)
