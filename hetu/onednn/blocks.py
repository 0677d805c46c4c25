"""Images in blocks: 16 channels of a pixel side by side, then the next pixel, then other channels.

They are tensors of shape (N, C / 16, H, W, 16).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch

from hetu.onednn import binding as c
from hetu.onednn.common import (
    MOST,
    Floats,
    Ints,
    channels_last,
    contiguous,
    contiguous_strides,
    in_channels_last,
    makes_channels_last,
    present,
    reorder,
)
from hetu.onednn.elementwise import activated, sum_of
from hetu.onednn.primitive import Description, Order, Primitive, strided, tagged

BLOCK = 16
"""So many channels lie side by side."""


def to_blocks(x: torch.Tensor) -> torch.Tensor:
    """An image (N, C, H, W) in blocks; C is a multiple of 16."""
    if not x.is_contiguous():
        x = channels_last(x)
    return _to_blocks(tuple(x.shape), x.is_contiguous(), torch.get_num_threads())(x)


def from_blocks(x: torch.Tensor) -> torch.Tensor:
    """An image whose channels lie side by side, from one in blocks."""
    return _from_blocks(image_of(x.shape), torch.get_num_threads())(contiguous(x))


def plus_activation(
    x: torch.Tensor, other: torch.Tensor | None, activation: str, numbers: Floats
) -> torch.Tensor:
    """`activation(x + other, *numbers)` of images in blocks of one shape."""
    threads, shape = torch.get_num_threads(), image_of(x.shape)
    if other is not None:
        return _sum(shape, activation, numbers, threads)(contiguous(x), contiguous(other))
    return _activation(shape, activation, numbers, threads)(contiguous(x))


def image_of(shape: Ints) -> Ints:
    """The shape of the image that a tensor of a shape holds in blocks."""
    n, blocks, height, width, block = shape
    return (n, blocks * block, height, width)


def in_blocks(shape: Ints) -> Order:
    """The order in memory of an image of a shape in blocks."""
    return tagged(present(), shape, c.BLOCKS_OF_16)


def makes_blocks(
    description: Description, roles: Sequence[int], shape: Ints, result: int = c.RESULT
) -> Primitive:
    """The primitive whose result is an image of a shape in blocks."""
    n, channels, height, width = shape
    held = (n, channels // BLOCK, height, width, BLOCK)
    return Primitive(description, roles, held, contiguous_strides(held), result)


@lru_cache(MOST)
def _to_blocks(shape: Ints, is_contiguous: bool, threads: int) -> Primitive:
    if is_contiguous:
        given = strided(present(), shape, contiguous_strides(shape))
    else:
        given = in_channels_last(shape)
    return makes_blocks(reorder(given, in_blocks(shape)), [c.SOURCE], shape)


@lru_cache(MOST)
def _from_blocks(shape: Ints, threads: int) -> Primitive:
    description = reorder(in_blocks(shape), in_channels_last(shape))
    return makes_channels_last(description, [c.SOURCE], shape)


@lru_cache(MOST)
def _sum(shape: Ints, activation: str, numbers: Floats, threads: int) -> Primitive:
    order = in_blocks(shape)
    description = sum_of(order, order, activation, numbers)
    return makes_blocks(description, [c.SOURCE, c.OTHER], shape)


@lru_cache(MOST)
def _activation(shape: Ints, activation: str, numbers: Floats, threads: int) -> Primitive:
    return makes_blocks(activated(in_blocks(shape), activation, numbers), [c.SOURCE], shape)
