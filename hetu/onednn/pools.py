"""Maxima and averages of windows."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch

from hetu.onednn import binding as c
from hetu.onednn.binding import dims
from hetu.onednn.blocks import image_of, in_blocks, makes_blocks
from hetu.onednn.common import (
    LAYOUTS,
    MOST,
    Ints,
    channels_last_strides,
    contiguous,
    contiguous_strides,
    moves,
    present,
)
from hetu.onednn.primitive import After, Description, Order, Primitive, strided

_ALGORITHMS = {"maximum": 0x1FF, "average": 0x3FF, "average with padding": 0x2FF}


def pool(x: torch.Tensor, kind: str, kernel: Ints, strides: Ints, pads: Ints) -> torch.Tensor:
    """The pool of the windows, in the order of `x`, which may be an image in blocks.

    It is a "maximum", an "average" of what is no padding, or an "average with padding". Padding is
    listed as in ONNX. A maximum passes over elements that are not numbers.
    """
    threads = torch.get_num_threads()
    if x.ndim == len(kernel) + 3:
        return _blocks(image_of(x.shape), kind, kernel, strides, pads, threads)(contiguous(x))
    return _in_its_order(
        lambda is_last: _pool(x.shape, is_last, kind, kernel, strides, pads, threads), x
    )


def average_gradient(
    gradient: torch.Tensor, shape: Ints, kind: str, kernel: Ints, strides: Ints, pads: Ints
) -> torch.Tensor:
    """The gradient of images of a shape, from that of their averages, in its order."""
    threads = torch.get_num_threads()
    return _in_its_order(
        lambda is_last: _gradient(shape, is_last, kind, kernel, strides, pads, threads), gradient
    )


def _in_its_order(primitive_for: Callable[[bool], Primitive], x: torch.Tensor) -> torch.Tensor:
    """What a primitive makes of an image, in its order.

    It is made for images whose channels lie side by side, or not. Those take its fast ways, if it
    has none for others.
    """
    if x.is_contiguous(memory_format=LAYOUTS[x.ndim]):
        return primitive_for(True)(x)
    primitive = primitive_for(False)
    if not primitive.description.is_simple:
        return primitive(contiguous(x))
    threads, shape, result = torch.get_num_threads(), tuple(x.shape), primitive.shape
    before = moves(shape, contiguous_strides(shape), channels_last_strides(shape), threads)
    after = moves(result, channels_last_strides(result), contiguous_strides(result), threads)
    return after(primitive_for(True)(before(contiguous(x))))


@lru_cache(MOST)
def _gradient(
    shape: Ints,
    channels_last: bool,
    kind: str,
    kernel: Ints,
    strides: Ints,
    pads: Ints,
    threads: int,
) -> Primitive:
    orders, strides_of = _orders(shape, channels_last, kernel, strides, pads)
    forward = _describe(orders, kind, kernel, strides, pads)
    windows = _windows(kernel, strides, pads)
    given = (present().engine, _ALGORITHMS[kind], *orders, *windows, forward)
    description = Description(present(), "pooling_backward", given, After())
    roles = (c.RESULT_GRADIENT,)
    return Primitive(description, roles, shape, strides_of(shape), c.SOURCE_GRADIENT)


@lru_cache(MOST)
def _blocks(
    shape: Ints, kind: str, kernel: Ints, strides: Ints, pads: Ints, threads: int
) -> Primitive:
    """The primitive for images of these shapes in blocks."""
    result = _result(shape, kernel, strides, pads)
    orders = in_blocks(shape), in_blocks(result)
    return makes_blocks(_describe(orders, kind, kernel, strides, pads), [c.SOURCE], result)


@lru_cache(MOST)
def _pool(
    shape: Ints,
    channels_last: bool,
    kind: str,
    kernel: Ints,
    strides: Ints,
    pads: Ints,
    threads: int,
) -> Primitive:
    """The primitive for tensors of these shapes."""
    orders, strides_of = _orders(shape, channels_last, kernel, strides, pads)
    result = orders[1].shape
    description = _describe(orders, kind, kernel, strides, pads)
    return Primitive(description, (c.SOURCE,), result, strides_of(result))


def _orders(
    shape: Ints, channels_last: bool, kernel: Ints, strides: Ints, pads: Ints
) -> tuple[list[Order], Callable[[Ints], Ints]]:
    """The orders of images of a shape and of their pool, and what gives strides in them."""
    result = _result(shape, kernel, strides, pads)
    strides_of = channels_last_strides if channels_last else contiguous_strides
    return [strided(present(), each, strides_of(each)) for each in (shape, result)], strides_of


def _describe(
    orders: Sequence[Order], kind: str, kernel: Ints, strides: Ints, pads: Ints
) -> Description:
    windows = _windows(kernel, strides, pads)
    given = (present().engine, c.INFERENCE, _ALGORITHMS[kind], *orders, *windows)
    return Description(present(), "pooling_forward", given, After())


def _windows(kernel: Ints, strides: Ints, pads: Ints) -> list[Any]:
    begin, end = pads[: len(kernel)], pads[len(kernel) :]
    return dims(strides, kernel, (0,) * len(kernel), begin, end)


def _result(shape: Ints, kernel: Ints, strides: Ints, pads: Ints) -> Ints:
    begin, end = pads[: len(kernel)], pads[len(kernel) :]
    axes = zip(shape[2:], begin, end, kernel, strides, strict=True)
    sizes = ((size + sum(pair) - extent) // step + 1 for size, *pair, extent, step in axes)
    return (*shape[:2], *sizes)
