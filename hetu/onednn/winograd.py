"""Convolutions of windows of 3 x 3 with less than half of the multiplications, after Winograd.

They work on images in blocks (`blocks.py`), with a window at each pixel.
"""

from functools import lru_cache
from typing import Any

import torch

from hetu.onednn import binding as c
from hetu.onednn.binding import dims
from hetu.onednn.blocks import BLOCK, image_of, in_blocks, makes_blocks
from hetu.onednn.common import (
    MOST,
    Ints,
    after,
    check_shapes,
    contiguous,
    contiguous_strides,
    present,
    reorder,
    roles,
    shape_of,
)
from hetu.onednn.packing import Packed, packed
from hetu.onednn.primitive import After, Description, Order, Primitive, any_order, strided

_FEWEST_CHANNELS = 32
_LEAST_WORK = 1 << 15
"""From so many channels on, and products of channels and pixels, they are at least 1.3 times as
fast, with the time to bring images into blocks and back."""

_FEWEST_PIXELS = 512
"""From so many pixels on, of all images together, it pays to read 36 numbers for each 9 of a
weight: with fewer, products wait for memory."""

_MOST_SCRATCHPAD = 1 << 27


def suits_winograd(shape: Ints, outputs: int, pads: Ints, trains: bool = False) -> bool:
    """Whether they, and gradients if it `trains`, are faster on images of a shape."""
    n, channels, height, width = shape
    fewest = min(channels, outputs)
    if channels % BLOCK or outputs % BLOCK or fewest < _FEWEST_CHANNELS:
        return False
    pixels = n * height * width
    if pixels < _FEWEST_PIXELS or pixels * fewest < _LEAST_WORK:
        return False
    if trains and pads[:2] != pads[2:]:  # the library's gradients of images are wrong then
        return False
    try:
        found = _descriptions(shape, outputs, pads, trains, torch.get_num_threads())
    except RuntimeError:  # on processors without vectors of 512 bits, or in other versions
        return False
    return all(description.scratchpad <= _MOST_SCRATCHPAD for description in found)


def pack_winograd(weight: torch.Tensor, pads: Ints, shape: Ints) -> Packed:
    """A weight (outputs, inputs, 3, 3) for `winograd_convolution`, on images that it suits."""
    return packed(weight, _order(shape, len(weight), pads, torch.get_num_threads()))


def winograd_convolution(
    x: torch.Tensor, weight: Packed, bias: torch.Tensor | None, pads: Ints, activation: str
) -> torch.Tensor:
    """`activation(convolution + bias)` of images in blocks; the activation is "" or "Relu"."""
    primitive = _inference(
        image_of(x.shape), weight.order, shape_of(bias), pads, activation, torch.get_num_threads()
    )
    return primitive(contiguous(x), weight, *([] if bias is None else [contiguous(bias)]))


def trained_winograd(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, pads: Ints
) -> torch.Tensor:
    """`convolution + bias` of images in blocks; the weight is (outputs, inputs, 3, 3)."""
    pack, primitive = _training(
        image_of(x.shape), len(weight), bias is not None, pads, torch.get_num_threads()
    )
    biases = [] if bias is None else [contiguous(bias)]
    return primitive(contiguous(x), pack(contiguous(weight)), *biases)


def winograd_gradient_x(gradient: torch.Tensor, weight: torch.Tensor, pads: Ints) -> torch.Tensor:
    """The gradient of the image, from that of the result, both in blocks."""
    n, outputs, height, width = image_of(gradient.shape)
    top, left, bottom, right = pads
    shape = (n, weight.shape[1], height - top - bottom + 2, width - left - right + 2)
    pack, primitive = _gradient_x(shape, outputs, pads, torch.get_num_threads())
    return primitive(pack(contiguous(weight)), contiguous(gradient))


def winograd_gradient_w(x: torch.Tensor, gradient: torch.Tensor, pads: Ints) -> torch.Tensor:
    """The gradient of the weight, from the image and the gradient of the result in blocks."""
    outputs = image_of(gradient.shape)[1]
    primitive, unpack = _gradient_w(image_of(x.shape), outputs, pads, torch.get_num_threads())
    return unpack(primitive(contiguous(x), contiguous(gradient)))


@lru_cache(MOST)
def _order(shape: Ints, outputs: int, pads: Ints, threads: int) -> Order:
    """The order of a weight: one that stands for all that are equal to it."""
    (description,) = _descriptions(shape, outputs, pads, False, threads)
    order = description.order(c.WEIGHTS, (outputs, shape[1], 3, 3))
    known = _orders(order.shape)
    same = next((other for other in known if order.equals(other)), None)
    if same is None:
        known.append(order)
    return same or order


@lru_cache(MOST)
def _orders(shape: Ints) -> list[Order]:
    """The different orders of weights of a shape so far."""
    return []


@lru_cache(MOST)
def _inference(
    shape: Ints, weight: Order, bias: Ints | None, pads: Ints, activation: str, threads: int
) -> Primitive:
    outputs, inputs = weight.shape[:2]
    check_shapes(("x", shape[1:2], (inputs,)), ("bias", bias, (outputs,)))
    following = after(None, activation, ())
    description = _forward(c.INFERENCE, shape, weight, bias is not None, pads, following)
    return makes_blocks(description, roles(bias, None), _result(shape, outputs, pads))


@lru_cache(MOST)
def _training(
    shape: Ints, outputs: int, has_bias: bool, pads: Ints, threads: int
) -> tuple[Primitive, Primitive]:
    """What brings a weight into order, and what takes it."""
    weight = _weight(shape, outputs)
    description = _forward(c.TRAINING, shape, weight, has_bias, pads, After())
    bias = (outputs,) if has_bias else None
    primitive = makes_blocks(description, roles(bias, None), _result(shape, outputs, pads))
    return _pack(description.order(c.WEIGHTS, weight.shape)), primitive


@lru_cache(MOST)
def _gradient_x(shape: Ints, outputs: int, pads: Ints, threads: int) -> tuple[Primitive, Primitive]:
    """What brings a weight into order, and what takes it."""
    description = _backward("data", shape, outputs, pads)
    primitive = makes_blocks(description, [c.WEIGHTS, c.RESULT_GRADIENT], shape, c.SOURCE_GRADIENT)
    return _pack(description.order(c.WEIGHTS, (outputs, shape[1], 3, 3))), primitive


@lru_cache(MOST)
def _gradient_w(shape: Ints, outputs: int, pads: Ints, threads: int) -> tuple[Primitive, Primitive]:
    """What makes a weight's gradient, and what brings it into torch's order."""
    description = _backward("weights", shape, outputs, pads)
    order = description.order(c.WEIGHTS_GRADIENT, (outputs, shape[1], 3, 3))
    memory = (order.nbytes // 4,)
    given = [c.SOURCE, c.RESULT_GRADIENT]
    primitive = Primitive(description, given, memory, (1,), c.WEIGHTS_GRADIENT)
    strides = contiguous_strides(order.shape)
    plain = reorder(order, strided(present(), order.shape, strides))
    return primitive, Primitive(plain, [c.SOURCE], order.shape, strides)


def _pack(order: Order) -> Primitive:
    plain = strided(present(), order.shape, contiguous_strides(order.shape))
    return Primitive(reorder(plain, order), [c.SOURCE], (order.nbytes // 4,), (1,))


@lru_cache(MOST)
def _descriptions(
    shape: Ints, outputs: int, pads: Ints, trains: bool, threads: int
) -> list[Description]:
    """What is computed, on weights in the orders that are best."""
    weight = _weight(shape, outputs)
    if not trains:
        return [_forward(c.INFERENCE, shape, weight, False, pads, After())]
    forward = _forward(c.TRAINING, shape, weight, False, pads, After())
    return [forward, *(_backward(of, shape, outputs, pads) for of in ("data", "weights"))]


def _forward(
    kind: int, shape: Ints, weight: Order, has_bias: bool, pads: Ints, following: After
) -> Description:
    dnnl, outputs = present(), weight.shape[0]
    bias = strided(dnnl, (outputs,), (1,)) if has_bias else None
    orders = in_blocks(shape), weight, bias, in_blocks(_result(shape, outputs, pads))
    given = (dnnl.engine, kind, c.WINOGRAD_CONVOLUTION, *orders, *_windows(pads))
    return Description(dnnl, "convolution_forward", given, following)


def _backward(of: str, shape: Ints, outputs: int, pads: Ints) -> Description:
    dnnl, weight = present(), _weight(shape, outputs)
    bias = (None,) if of == "weights" else ()
    orders = in_blocks(shape), weight, *bias, in_blocks(_result(shape, outputs, pads))
    forward = _forward(c.TRAINING, shape, weight, False, pads, After())
    given = (dnnl.engine, c.WINOGRAD_CONVOLUTION, *orders, *_windows(pads), forward)
    return Description(dnnl, f"convolution_backward_{of}", given, After())


def _weight(shape: Ints, outputs: int) -> Order:
    return any_order(present(), (outputs, shape[1], 3, 3))


def _windows(pads: Ints) -> list[Any]:
    return dims((1, 1), (0, 0), pads[:2], pads[2:])


def _result(shape: Ints, outputs: int, pads: Ints) -> Ints:
    n, _, height, width = shape
    top, left, bottom, right = pads
    return (n, outputs, height + top + bottom - 2, width + left + right - 2)
