"""The order in which tensors lie in memory, and of their parts."""

import torch

from hetu.ops import native
from hetu.ops.kinds import Ints, Tensor
from hetu.ops.registry import FUSED, op


@op("ChannelsLast", domain=FUSED)
def channels_last(x: Tensor) -> Tensor:
    """The image `x`, with the channels of each pixel side by side in memory if it is on a CPU."""
    is_image = x.ndim == 4 and x.device.type == "cpu"
    return x.contiguous(memory_format=torch.channels_last) if is_image else x


@op("ImageRows", domain=FUSED)
def image_rows(x: Tensor) -> Tensor:
    """Images as rows of pixels, the channels of each side by side."""
    return native.channels_last(x).movedim(1, -1).flatten(1)


@op("Select", domain=FUSED)
def select(x: Tensor, *, axis: int, index: int) -> Tensor:
    """What lies at one position along an axis, without a copy."""
    return x.select(axis, index)


@op("ShuffleChannels", domain=FUSED)
def shuffle_channels(x: Tensor, *, groups: int) -> Tensor:
    """An image with the first channels of all groups, then the second ones, and so on."""
    return torch.channel_shuffle(x, groups)


@op("Reorder", domain=FUSED)
def reorder(x: Tensor, *, axis: int, sizes: Ints, order: Ints) -> Tensor:
    """The parts of `x` of the given sizes along an axis, in another order."""
    parts = x.split(sizes, axis)
    return torch.cat([parts[i] for i in order], axis)
