"""Weights in orders of the library's own."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod

import numpy as np
import torch

from hetu import pages
from hetu.onednn import binding as c
from hetu.onednn.common import Ints, present, reorder
from hetu.onednn.primitive import Order, Primitive, strided
from hetu.threads import share

_MOST_WAITING = 1 << 26
"""Packed weights of so many bytes wait at most."""

_LARGE = 1 << 21
"""Bytes that are worth another thread."""

_MOST_KEPT = 1 << 24
"""So many bytes of weights wait at most that are let go when they are packed."""


class Packed(torch.Tensor):
    """The memory of a weight in an order of the library's own.

    `strides` are those that the weight had, and `source` is where it lay; that of a product
    `is_in_rows` if it is (outputs, inputs).
    """

    order: Order
    strides: Ints
    source: int
    is_in_rows: bool = False
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore


@dataclass(slots=True)
class _Packing:
    """A weight, which is let go once it is packed, and the memory that it is to be packed into.

    Then `calls` are made.
    """

    weight: torch.Tensor | None
    memory: np.ndarray
    order: Order
    calls: list[Callable[[], None]] = field(default_factory=list)

    def run(self) -> None:
        """Pack the weight."""
        weight, self.weight = self.weight, None
        assert weight is not None
        pages.populate(self.memory)
        given = strided(present(), weight.shape, weight.stride())
        _reorder(given, self.order, weight, torch.from_numpy(self.memory))
        del weight
        for call in self.calls:
            call()


class _Batch:
    """What is still to be packed."""

    def __init__(self) -> None:
        self._packings: list[_Packing] = []
        self._nbytes = 0
        self._kept = 0

    def add(self, packing: _Packing) -> None:
        """Have a weight packed: later, unless that would be too much at a time."""
        self._packings.append(packing)
        self._nbytes += packing.memory.nbytes
        if self._nbytes > _MOST_WAITING or self._kept > _MOST_KEPT:
            self.run()

    def then(self, weight: Packed, call: Callable[[], None]) -> None:
        """Call a function once a weight, one of the last that were added, is packed."""
        for packing in reversed(self._packings):
            if packing.memory.ctypes.data == weight.data_ptr():
                packing.calls.append(call)
                self._kept += packing.memory.nbytes
                return
        call()

    def run(self) -> None:
        """Pack what waits, the largest first."""
        ordered = sorted(self._packings, key=lambda packing: packing.memory.nbytes, reverse=True)
        helpers = self._nbytes // _LARGE
        self._packings, self._nbytes, self._kept = [], 0, 0
        if len(ordered) > 1:
            share(ordered, _run_alone, min(torch.get_num_threads(), len(ordered), 1 + helpers))
        elif ordered:  # a single one, which the library's threads share
            ordered[0].run()


def _run_alone(packings: Iterator[_Packing]) -> None:
    """Pack weights in this thread alone."""
    with present().one_thread():
        for packing in packings:
            packing.run()


class _Current(threading.local):
    """What is still to be packed in a thread; None where weights are packed at once."""

    batch: _Batch | None = None


_CURRENT = _Current()


def packed(weight: torch.Tensor, order: Order) -> Packed:
    """A weight brought into an order: at once, or as `packed_together` says."""
    memory = pages.reserve(order.nbytes).view(np.float32)
    packing = _Packing(weight.detach(), memory, order)
    if _CURRENT.batch is None:
        packing.run()
    else:
        _CURRENT.batch.add(packing)
    result = torch.Tensor._make_subclass(Packed, torch.from_numpy(memory))
    result.order = order
    result.strides, result.source = weight.stride(), weight.data_ptr()
    return result


@contextmanager
def packed_together() -> Iterator[None]:
    """Where weights are packed several at a time, each in one thread, at its end at the latest.

    What is computed of them inside says so before (`use`). Most of the time goes into new pages of
    memory, and into orders that the library's threads do not share.
    """
    batch = _CURRENT.batch = _Batch()
    try:
        yield
    finally:
        _CURRENT.batch = None
        batch.run()


def use(values: Iterable[object]) -> None:
    """Pack what waits, if some of it is among values that are about to be used."""
    if _CURRENT.batch is not None and any(isinstance(value, Packed) for value in values):
        _CURRENT.batch.run()


def when_packed(weight: Packed, call: Callable[[], None]) -> None:
    """Call a function once a weight is packed, in the thread that packs it."""
    if _CURRENT.batch is None:
        call()
    else:
        _CURRENT.batch.then(weight, call)


def holds(weight: Packed, tensor: torch.Tensor) -> bool:
    """Whether what was packed are the elements of a tensor that is still there, each once.

    `unpacked` makes them again, unless the order is one of what is computed from elements.
    """
    shape = weight.order.shape
    return (
        weight.source == tensor.data_ptr()
        and tensor.numel() == prod(shape)
        and tensor.is_contiguous()
        and _is_dense(shape, weight.strides)
        and weight.order.blocks is not None
    )


def _is_dense(shape: Ints, strides: Ints) -> bool:
    """Whether a tensor's elements lie side by side, in any order."""
    step = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if size > 1 and stride != step:
            return False
        step *= size
    return True


def unpacked(weight: Packed) -> torch.Tensor:
    """The elements of the tensor that a packed weight `holds`, as a row."""
    row = torch.from_numpy(pages.empty(4 * prod(weight.order.shape)).view(np.float32))
    wanted = strided(present(), weight.order.shape, weight.strides)
    _reorder(weight.order, wanted, weight, row)
    return row


def table_rows(weight: Packed, numbers: torch.Tensor) -> torch.Tensor:
    """Rows of a table that was packed as a weight (outputs, inputs), by their numbers.

    Negative ones count from the end. Raises `IndexError` for a number that no row has.
    """
    rows, columns = (0, 1) if weight.is_in_rows else (1, 0)
    count, width = weight.order.shape[rows], weight.order.shape[columns]
    if numbers.numel():
        least, most = numbers.aminmax()
        if least < -count or most >= count:
            raise IndexError(f"an index is outside of a table of {count} rows")
        if least < 0:
            numbers = torch.where(numbers < 0, numbers + count, numbers)
    parts, others = weight.order.parts(rows), weight.order.parts(columns)
    sizes, steps = zip(*parts, *others, strict=True)
    places: list[torch.Tensor] = []
    for size, _ in reversed(parts[1:]):
        places.insert(0, numbers % size)
        numbers = numbers // size
    found = weight.as_strided(sizes, steps)[(numbers, *places)]
    return found.flatten(numbers.ndim)[..., :width]


def _reorder(given: Order, wanted: Order, source: torch.Tensor, result: torch.Tensor) -> None:
    primitive = Primitive(reorder(given, wanted), (c.SOURCE,), result.shape, result.stride())
    primitive.run(result, source)
