"""What all operations have in common: orders of tensors, and what follows a result."""

from collections.abc import Sequence
from functools import lru_cache
from math import prod

import torch

from hetu.onednn import binding as c
from hetu.onednn.binding import LIBRARY, Library
from hetu.onednn.primitive import Activation, After, Description, Order, Primitive, strided
from hetu.onednn.recording import RECORDINGS

Ints = tuple[int, ...]
Floats = tuple[float, ...]

MOST = 4096
"""So many primitives of a kind are kept: a network has some dozens for each shape of its feeds."""

LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The layout in which the channels lie side by side, by rank."""

_ALGORITHMS: dict[str, Activation] = {
    "LeakyRelu": (0x20, 0, 0),
    "Relu": (0x20, 0, 0),
    "Tanh": (0x21, 0, 0),
    "HardSigmoid": (0x28, 0, 0),
    "Sigmoid": (0x29, 0, 0),
    "GeluTanh": (0x2B, 0, 0),
    "Silu": (0x2C, 1, 0),
    "Clip": (0x2E, 0, 0),
    "HardSwish": (0x34, 1 / 6, 1 / 2),
}
"""The library's algorithm for an activation, and its numbers where a call gives none.

Its exact GELU (0x31) is left out: in this version, it is wrong by up to 5e-4 between 3 and 5.
"""

ACTIVATIONS = frozenset(_ALGORITHMS)


def contiguous(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor with its last axis innermost and no gaps."""
    return tensor if tensor.is_contiguous() else tensor.contiguous()


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """An image, or a volume, whose channels lie side by side."""
    if tensor.is_contiguous(memory_format=LAYOUTS[tensor.ndim]):
        return tensor
    if RECORDINGS.current is None or not _are_apart(tensor):
        return tensor.contiguous(memory_format=LAYOUTS[tensor.ndim])
    shape = tuple(tensor.shape)
    wanted = channels_last_strides(shape)
    return moves(shape, tensor.stride(), wanted, torch.get_num_threads())(tensor)


def _are_apart(tensor: torch.Tensor) -> bool:
    """Whether no element lies where another one does, as the library wants it."""
    reach = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride < reach:
            return False
        reach = max(reach, stride * size)
    return True


@lru_cache(MOST)
def moves(shape: Ints, given: Ints, wanted: Ints, threads: int) -> Primitive:
    """What brings a tensor of a shape from strides to others."""
    orders = [strided(present(), shape, strides) for strides in (given, wanted)]
    return Primitive(reorder(*orders), (c.SOURCE,), shape, wanted)


def reorder(given: Order, wanted: Order) -> Description:
    """What brings a tensor from one order into another."""
    dnnl = present()
    return Description(dnnl, "reorder", (given, dnnl.engine, wanted, dnnl.engine), After())


def present() -> Library:
    """The library, which has to be there."""
    assert LIBRARY is not None, "oneDNN's library is not there"
    return LIBRARY


def shape_of(tensor: torch.Tensor | None) -> torch.Size | None:
    """The shape of a tensor that may be missing."""
    return None if tensor is None else tensor.shape


def channels_last_strides(shape: Ints) -> Ints:
    """The strides of a dense tensor whose channels lie side by side."""
    _, channels, *sizes = shape
    steps = [channels * prod(sizes[i + 1 :]) for i in range(len(sizes))]
    return (channels * prod(sizes), 1, *steps)


def in_channels_last(shape: Ints) -> Order:
    """The order in memory of a tensor whose channels lie side by side."""
    return strided(present(), shape, channels_last_strides(shape))


def makes_channels_last(
    description: Description, roles: Sequence[int], shape: Ints, result: int = c.RESULT
) -> Primitive:
    """The primitive whose result's channels lie side by side."""
    return Primitive(description, roles, shape, channels_last_strides(shape), result)


def contiguous_strides(shape: Ints) -> Ints:
    """The strides of a dense tensor whose last axis is innermost."""
    return tuple(prod(shape[i + 1 :]) for i in range(len(shape)))


def rows_order(rows: int, length: int) -> Order:
    """The order in memory of rows that lie one after the other."""
    return strided(present(), (rows, length), (length, 1))


def after(added: Order | None, activation: str, numbers: Floats) -> After:
    """What adds a tensor, if there is one, and computes an activation, if it is not empty."""
    return After(added, algorithm_of(activation, numbers))


def algorithm_of(activation: str, numbers: Floats) -> Activation | None:
    """The algorithm of an activation; None where it is empty."""
    if not activation:
        return None
    algorithm, *usual = _ALGORITHMS[activation]
    first, second = (*numbers, *usual[len(numbers) :])
    return algorithm, first, second


def roles(bias: Ints | None, other: Ints | None) -> Sequence[int]:
    """The arguments of an operation with a weight, which may have a bias and add a tensor."""
    optional = (c.BIAS, bias), (c.ADDED, other)
    return [c.SOURCE, c.WEIGHTS, *(role for role, shape in optional if shape is not None)]


def check_shapes(*shapes: tuple[str, Ints | None, Ints]) -> None:
    """Raise `RuntimeError` where a tensor that is there has another shape than it must have."""
    for name, shape, wanted in shapes:
        if shape is not None and tuple(shape) != tuple(wanted):
            raise RuntimeError(f"{name} has the shape {tuple(shape)} where {wanted} is needed")
