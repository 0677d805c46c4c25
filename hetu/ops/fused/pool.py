"""Pools of windows of known places, where oneDNN's library computes them."""

from collections.abc import Callable

from hetu.ops import native
from hetu.ops.kinds import Ints, Tensor
from hetu.ops.pools import trained_average
from hetu.ops.registry import FUSED, op


@op("Pool", domain=FUSED)
def pool(x: Tensor, *, kind: str, kernel: Ints, strides: Ints, pads: Ints) -> Tensor:
    """The pool of images, as they are or in blocks; sequences are images of one row."""
    return _of_images(native.pool, x, kind, kernel, strides, pads)


@op("TrainedAverage", domain=FUSED)
def averages(x: Tensor, *, kind: str, kernel: Ints, strides: Ints, pads: Ints) -> Tensor:
    """The averages of images; sequences are images of one row."""
    return _of_images(trained_average, x, kind, kernel, strides, pads)


def _of_images(function: Callable[..., Tensor], x: Tensor, *settings: object) -> Tensor:
    if x.ndim == 3:
        return function(x.unsqueeze(2), *settings).squeeze(2)
    return function(x, *settings)
