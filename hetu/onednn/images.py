"""Steps between convolutions, on images or volumes whose channels lie side by side."""

from functools import lru_cache

import torch

from hetu.onednn import binding as c
from hetu.onednn.common import (
    MOST,
    Floats,
    Ints,
    after,
    channels_last,
    check_shapes,
    contiguous,
    in_channels_last,
    makes_channels_last,
    present,
)
from hetu.onednn.elementwise import per_channel
from hetu.onednn.primitive import Description, Primitive


def scale_channels(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, activation: str, numbers: Floats
) -> torch.Tensor:
    """`activation(scale * x + shift, *numbers)` with a factor and a summand of each channel."""
    shape = tuple(x.shape)
    check_shapes(("scale", scale.shape, shape[1:2]), ("shift", shift.shape, shape[1:2]))
    primitive = _scale(shape, activation, numbers, torch.get_num_threads())
    return primitive(channels_last(x), contiguous(scale), contiguous(shift))


@lru_cache(MOST)
def _scale(shape: Ints, activation: str, numbers: Floats, threads: int) -> Primitive:
    dnnl, order, channels = present(), in_channels_last(shape), per_channel(shape)
    given = dnnl.engine, c.MULTIPLY, order, channels, order
    description = Description(dnnl, "binary", given, after(channels, activation, numbers))
    return makes_channels_last(description, [c.SOURCE, c.OTHER, c.ADDED], shape)
