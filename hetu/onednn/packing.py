"""Weights in orders of the library's own."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from hetu import pages
from hetu.onednn import binding as c
from hetu.onednn.common import present, reorder
from hetu.onednn.primitive import Order, Primitive, strided
from hetu.threads import share

_MOST_WAITING = 1 << 26
"""Weights of so many bytes wait at most: those that were made for the library only go then."""


class Packed(torch.Tensor):
    """The memory of a weight in an order of the library's own; `is_for_row`, for single rows."""

    order: Order
    is_for_row: bool = False
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore


@dataclass(frozen=True, slots=True)
class _Packing:
    """A weight, and the memory that it is to be packed into."""

    weight: torch.Tensor
    memory: np.ndarray
    order: Order

    def run(self) -> None:
        """Pack the weight."""
        pages.populate(self.memory)
        memory = torch.from_numpy(self.memory)
        weight = strided(present(), self.weight.shape, self.weight.stride())
        primitive = Primitive(
            reorder(weight, self.order), (c.SOURCE,), memory.shape, memory.stride()
        )
        primitive.run(memory, self.weight)


class _Waiting(threading.local):
    """What is still to be packed in a thread; None where weights are packed at once."""

    packings: list[_Packing] | None = None


_WAITING = _Waiting()


def packed(weight: torch.Tensor, order: Order) -> Packed:
    """A weight brought into an order: at once, or as `packed_together` says."""
    memory = pages.reserve(order.nbytes).view(np.float32)
    packing = _Packing(weight.detach(), memory, order)
    waiting = _WAITING.packings
    if waiting is None:
        packing.run()
    else:
        waiting.append(packing)
        if sum(other.memory.nbytes for other in waiting) > _MOST_WAITING:
            _run(waiting)
    result = torch.Tensor._make_subclass(Packed, torch.from_numpy(memory))
    result.order = order
    return result


@contextmanager
def packed_together() -> Iterator[None]:
    """Where weights are packed several at a time, each in one thread, at its end at the latest.

    What is computed of them inside says so before (`use`). Most of the time goes into new pages of
    memory, and into orders that the library's threads do not share.
    """
    _WAITING.packings = []
    try:
        yield
    finally:
        waiting, _WAITING.packings = _WAITING.packings, None
        _run(waiting)


def use(values: Iterable[object]) -> None:
    """Pack what waits, if some of it is among values that are about to be used."""
    if _WAITING.packings and any(isinstance(value, Packed) for value in values):
        _run(_WAITING.packings)


def _run(packings: list[_Packing]) -> None:
    """Pack what waits, the largest first."""
    ordered = sorted(packings, key=lambda packing: packing.memory.nbytes, reverse=True)
    packings.clear()
    if len(ordered) > 1:
        share(ordered, _run_alone, min(torch.get_num_threads(), len(ordered)))
    elif ordered:  # a single one, which the library's threads share
        ordered[0].run()


def _run_alone(packings: Iterator[_Packing]) -> None:
    """Pack weights in this thread alone."""
    with present().one_thread():
        for packing in packings:
            packing.run()
