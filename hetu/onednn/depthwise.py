"""Convolutions of single pixels, with one of each channel by windows of 3 x 3 in the same step.

What lies between the two, the largest tensor of networks that are built so, stays in the caches.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import torch

from hetu.onednn import binding as c
from hetu.onednn.binding import dims
from hetu.onednn.common import (
    MOST,
    Floats,
    Ints,
    algorithm_of,
    channels_last,
    contiguous,
    in_channels_last,
    makes_channels_last,
    present,
)
from hetu.onednn.packing import Packed, packed
from hetu.onednn.primitive import (
    After,
    Depthwise,
    Description,
    Order,
    Primitive,
    any_order,
    strided,
)

_APART = "ref"
"""What the names of ways begin with that compute the two one after the other."""


class DepthwisePair(NamedTuple):
    """The stride of the second convolution; which have biases; activations, with their numbers."""

    stride: int
    biased: tuple[bool, bool]
    first: tuple[str, Floats] = ("", ())
    second: tuple[str, Floats] = ("", ())


def suits_depthwise(shape: Ints, channels: int, pair: DepthwisePair) -> bool:
    """Whether the library has a way for it on images of a shape, with so many channels between."""
    if pair.biased == (False, True):  # where the library reads the first bias all the same
        return False
    try:
        found = _packing(shape, channels, pair, torch.get_num_threads())
    except RuntimeError:
        return False
    return not found.implementation.startswith(_APART)


def pack_depthwise(
    first: torch.Tensor, second: torch.Tensor, pair: DepthwisePair, shape: Ints
) -> tuple[Packed, Packed]:
    """Weights (channels, inputs, 1, 1) and (channels, 1, 3, 3) for `pointwise_depthwise`."""
    orders = _orders(shape, len(first), pair, torch.get_num_threads())
    return packed(first, orders[0]), packed(second.unsqueeze(1), orders[1])


def pointwise_depthwise(
    x: torch.Tensor,
    weights: Sequence[Packed],
    biases: Sequence[torch.Tensor | None],
    pair: DepthwisePair,
) -> torch.Tensor:
    """Both convolutions, each with its activation; the channels of the result lie side by side."""
    primitive = _pair(tuple(x.shape), weights[0].order, pair, torch.get_num_threads())
    given = chain.from_iterable(zip(weights, biases, strict=True))
    return primitive(channels_last(x), *(contiguous(t) for t in given if t is not None))


@lru_cache(MOST)
def _orders(shape: Ints, channels: int, pair: DepthwisePair, threads: int) -> tuple[Order, Order]:
    """The orders of both weights."""
    description = _packing(shape, channels, pair, threads)
    return (
        description.order(c.WEIGHTS, (channels, shape[1], 1, 1)),
        description.order(c.DEPTHWISE | c.WEIGHTS, (channels, 1, 1, 3, 3)),
    )


@lru_cache(MOST)
def _pair(shape: Ints, weight: Order, pair: DepthwisePair, threads: int) -> Primitive:
    n, _, *sizes = shape
    result = (n, weight.shape[0], *((size - 1) // pair.stride + 1 for size in sizes))
    description = _describe(shape, weight, pair)
    roles = [c.SOURCE]
    for step, has_bias in zip((0, c.DEPTHWISE), pair.biased, strict=True):
        roles += [step | c.WEIGHTS, step | c.BIAS][: 1 + has_bias]
    return makes_channels_last(description, roles, result)


@lru_cache(MOST)
def _packing(shape: Ints, channels: int, pair: DepthwisePair, threads: int) -> Description:
    """What is computed, on weights in the orders that are best."""
    return _describe(shape, any_order(present(), (channels, shape[1], 1, 1)), pair)


def _describe(shape: Ints, weight: Order, pair: DepthwisePair) -> Description:
    dnnl, channels = present(), weight.shape[0]
    between = (shape[0], channels, *shape[2:])
    first, second = algorithm_of(*pair.first), algorithm_of(*pair.second)
    following = After(None, first, Depthwise(pair.stride, pair.biased[1], second))
    orders = [in_channels_last(s) for s in (shape, between)]
    bias = strided(dnnl, (channels,), (1,)) if pair.biased[0] else None
    given = (
        dnnl.engine, c.INFERENCE, c.DIRECT_CONVOLUTION, orders[0], weight, bias, orders[1],
        *dims((1, 1), (0, 0), (0, 0), (0, 0)),
    )  # fmt: skip
    return Description(dnnl, "convolution_forward", given, following)
