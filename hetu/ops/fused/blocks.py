"""Images in blocks of channels, which oneDNN's library computes (`onednn/blocks.py`)."""

from hetu import onednn
from hetu.ops.kinds import Any, Floats, Ints, Tensor
from hetu.ops.registry import FUSED, op


@op("ToBlocks", domain=FUSED)
def to_blocks(x: Tensor) -> Tensor:
    return onednn.to_blocks(x)


@op("FromBlocks", domain=FUSED)
def from_blocks(x: Tensor) -> Tensor:
    return onednn.from_blocks(x)


@op("PackWinograd", domain=FUSED)
def pack_winograd(w: Tensor, *, pads: Ints, like_shape: Ints) -> Any:
    return onednn.pack_winograd(w, pads, like_shape)


@op("Winograd", domain=FUSED)
def winograd(
    x: Tensor, w: Any, b: Tensor | None = None, *, pads: Ints, activation: str = ""
) -> Tensor:
    """A convolution with windows of 3 x 3 at each pixel."""
    return onednn.winograd_convolution(x, w, b, pads, activation)


@op("PlusActivation", domain=FUSED)
def plus_activation(
    x: Tensor, other: Tensor | None = None, *, activation: str = "", numbers: Floats = ()
) -> Tensor:
    """The sum of two images, if there are two, and an activation of it."""
    return onednn.plus_activation(x, other, activation, numbers)
