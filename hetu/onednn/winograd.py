"""Convolutions of windows of 3 x 3 with less than half of the multiplications, after Winograd.

They work on images in blocks (`blocks.py`).
"""

from functools import lru_cache

import torch

from hetu.onednn import binding as c
from hetu.onednn.binding import Dims
from hetu.onednn.blocks import BLOCK, image_of, in_blocks, makes_blocks
from hetu.onednn.common import (
    MOST,
    Ints,
    Packed,
    after,
    check_shapes,
    contiguous,
    packed,
    present,
    roles,
    shape_of,
)
from hetu.onednn.primitive import Description, Order, Primitive, any_order, strided

_FEWEST_CHANNELS = 32
_LEAST_WORK = 1 << 14
"""From so many channels on, and products of channels and pixels, they are faster although images
are brought into blocks and back."""

_MOST_SCRATCHPAD = 1 << 26


def suits_winograd(shape: Ints, outputs: int, pads: Ints) -> bool:
    """Whether they are faster on images of a shape, with windows of 3 x 3 at each pixel."""
    n, channels, height, width = shape
    fewest = min(channels, outputs)
    if channels % BLOCK or outputs % BLOCK or fewest < _FEWEST_CHANNELS:
        return False
    if n * height * width * fewest < _LEAST_WORK:
        return False
    description = _packing(shape, outputs, pads, torch.get_num_threads())
    return description is not None and description.scratchpad <= _MOST_SCRATCHPAD


def pack_winograd(weight: torch.Tensor, pads: Ints, shape: Ints) -> Packed:
    """A weight (outputs, inputs, 3, 3) for `winograd` on images of a shape, which it has to suit."""
    return packed(weight, _order(shape, len(weight), pads, torch.get_num_threads()))


def winograd(
    x: torch.Tensor, weight: Packed, bias: torch.Tensor | None, pads: Ints, activation: str
) -> torch.Tensor:
    """`activation(convolution + bias)` of images in blocks; the activation is "" or "Relu"."""
    primitive = _winograd(
        image_of(x.shape), weight.order, shape_of(bias), pads, activation, torch.get_num_threads()
    )
    return primitive(contiguous(x), weight, *([] if bias is None else [contiguous(bias)]))


@lru_cache(MOST)
def _packing(shape: Ints, outputs: int, pads: Ints, threads: int) -> Description | None:
    """What is computed on weights in the order that is best; None where the library cannot."""
    weight = any_order(present(), (outputs, shape[1], 3, 3))
    try:
        return _describe(shape, weight, False, pads, "")
    except RuntimeError:
        return None


@lru_cache(MOST)
def _order(shape: Ints, outputs: int, pads: Ints, threads: int) -> Order:
    description = _packing(shape, outputs, pads, threads)
    assert description is not None, "the convolution does not suit"
    return _shared(description.order(c.WEIGHTS, (outputs, shape[1], 3, 3)))


@lru_cache(MOST)
def _orders(shape: Ints) -> list[Order]:
    """The different orders of weights of a shape so far."""
    return []


def _shared(order: Order) -> Order:
    """The one that stands for all orders that are equal to it."""
    known = _orders(order.shape)
    same = next((other for other in known if order.equals(other)), None)
    if same is None:
        known.append(order)
    return same or order


@lru_cache(MOST)
def _winograd(
    shape: Ints, weight: Order, bias: Ints | None, pads: Ints, activation: str, threads: int
) -> Primitive:
    """The primitive for tensors of these shapes."""
    outputs, inputs = weight.shape[:2]
    check_shapes(("x", shape[1:2], (inputs,)), ("bias", bias, (outputs,)))
    description = _describe(shape, weight, bias is not None, pads, activation)
    return makes_blocks(description, roles(bias, None), _result(shape, outputs, pads))


def _describe(
    shape: Ints, weight: Order, has_bias: bool, pads: Ints, activation: str
) -> Description:
    dnnl, outputs = present(), weight.shape[0]
    bias = strided(dnnl, (outputs,), (1,)) if has_bias else None
    orders = in_blocks(shape), weight, bias, in_blocks(_result(shape, outputs, pads))
    windows = (1, 1), (0, 0), pads[:2], pads[2:]
    given = (
        dnnl.engine, c.INFERENCE, c.WINOGRAD_CONVOLUTION, *orders,
        *(Dims(*sizes) for sizes in windows),
    )  # fmt: skip
    return Description(dnnl, "convolution_forward", given, after(None, activation, ()))


def _result(shape: Ints, outputs: int, pads: Ints) -> Ints:
    n, _, height, width = shape
    top, left, bottom, right = pads
    return (n, outputs, height + top + bottom - 2, width + left + right - 2)
