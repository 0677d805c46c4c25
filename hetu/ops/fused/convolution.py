"""Convolutions on weights that are packed once, with what follows them in the same step."""

from hetu import onednn
from hetu.ops import native
from hetu.ops.convolutions import trained_convolution
from hetu.ops.kinds import Any, Floats, Ints, Tensor
from hetu.ops.registry import FUSED, op

LIKE_SHAPE = "like_shape"
"""The attribute with the shape that a packed weight is best for; it changes nothing else."""


def _as_image(x: Tensor) -> Tensor:
    """A sequence, or a weight for sequences, as that of images of one row; others as they are."""
    return x.unsqueeze(2) if x.ndim == 3 else x


@op("PackConv", domain=FUSED)
def pack_conv(
    w: Tensor,
    *,
    pads: Ints,
    strides: Ints,
    dilations: Ints,
    group: int,
    packs: bool = True,
    like_shape: Ints | None = None,
) -> Any:
    w = _as_image(w)
    if not packs:
        return w
    return native.pack_convolution(w, (pads, None, strides, dilations, group), like_shape)


@op("Conv", domain=FUSED)
def conv(
    x: Tensor,
    w: Any,
    b: Tensor | None = None,
    other: Tensor | None = None,
    *,
    pads: Ints,
    strides: Ints,
    dilations: Ints,
    group: int,
    activation: str = "",
    numbers: Floats = (),
) -> Tensor:
    """A convolution, whose geometry is that of images; sequences are images of one row."""
    is_sequence = x.ndim == 3
    x, other = _as_image(x), None if other is None else _as_image(other)
    geometry = (pads, None, strides, dilations, group)
    y = native.convolution(x, w, b, geometry, activation, other, numbers)
    return y.squeeze(2) if is_sequence else y


@op("TrainedConv", domain=FUSED)
def trained_conv(x: Tensor, w: Tensor, b: Tensor | None = None, *, pads: Ints) -> Tensor:
    """A convolution with windows of 3 x 3 at each pixel."""
    return trained_convolution(x, w, b, pads)


@op("PackConvTranspose", domain=FUSED)
def pack_conv_transpose(
    w: Tensor,
    *,
    pads: Ints,
    output_padding: Ints,
    strides: Ints,
    dilations: Ints,
    group: int,
    packs: bool = True,
    like_shape: Ints | None = None,
) -> Any:
    w = _as_image(w)
    geometry = (pads, output_padding, strides, dilations, group)
    return native.pack_convolution(w, geometry, like_shape) if packs else w


@op("ConvTranspose", domain=FUSED)
def conv_transpose(
    x: Tensor,
    w: Any,
    b: Tensor | None = None,
    *,
    pads: Ints,
    output_padding: Ints,
    strides: Ints,
    dilations: Ints,
    group: int,
    activation: str = "",
    numbers: Floats = (),
) -> Tensor:
    """A transposed convolution; its geometry is that of images, as for `Conv`."""
    geometry = (pads, output_padding, strides, dilations, group)
    y = native.convolution(_as_image(x), w, b, geometry, activation, None, numbers)
    return y.squeeze(2) if x.ndim == 3 else y


@op("PackPointwiseDepthwise", domain=FUSED)
def pack_pointwise_depthwise(
    first: Tensor,
    second: Tensor,
    *,
    like_shape: Ints,
    biased: Ints,
    stride: int,
    activation: str = "",
    numbers: Floats = (),
    last_activation: str = "",
    last_numbers: Floats = (),
) -> tuple[Any, Any]:
    """The weights of both convolutions, as `PointwiseDepthwise` with the same settings has them."""
    activations = (activation, numbers), (last_activation, last_numbers)
    pair = onednn.DepthwisePair(stride, (bool(biased[0]), bool(biased[1])), *activations)
    return onednn.pack_depthwise(first, second, pair, like_shape)


@op("PointwiseDepthwise", domain=FUSED)
def pointwise_depthwise(
    x: Tensor,
    first: Any,
    first_bias: Tensor | None,
    second: Any,
    second_bias: Tensor | None = None,
    *,
    stride: int,
    activation: str = "",
    numbers: Floats = (),
    last_activation: str = "",
    last_numbers: Floats = (),
) -> Tensor:
    """A convolution of single pixels, then one of each channel, each with its activation."""
    biases = first_bias, second_bias
    biased = first_bias is not None, second_bias is not None
    activations = (activation, numbers), (last_activation, last_numbers)
    pair = onednn.DepthwisePair(stride, biased, *activations)
    return onednn.pointwise_depthwise(x, (first, second), biases, pair)
