"""Pools of windows of known places, where oneDNN's library computes them."""

from hetu.ops import native
from hetu.ops.kinds import Ints, Tensor
from hetu.ops.registry import FUSED, op


@op("Pool", domain=FUSED)
def pool(x: Tensor, *, kind: str, kernel: Ints, strides: Ints, pads: Ints) -> Tensor:
    return native.pool(x, kind, kernel, strides, pads)
