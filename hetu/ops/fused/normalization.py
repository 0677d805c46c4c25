"""Normalizations whose statistics are known."""

from hetu.ops.kinds import Floats, Tensor
from hetu.ops.native import ACTIVATIONS
from hetu.ops.registry import FUSED, op


@op("ChannelAffine", domain=FUSED)
def channel_affine(
    x: Tensor, scale: Tensor, shift: Tensor, *, activation: str = "", numbers: Floats = ()
) -> Tensor:
    """`activation(scale * x + shift, *numbers)` with a factor and a summand of each channel."""
    function, _ = ACTIVATIONS[activation]
    shape = (-1, *(1,) * (x.ndim - 2))
    scale, shift = scale.view(shape), shift.view(shape)
    if x.is_contiguous():  # then vectors hold one channel, and one operand may be a single number
        return function((x * scale).add_(shift), *numbers)
    return function(shift.addcmul(x, scale), *numbers)
