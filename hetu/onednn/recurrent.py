"""Recurrent layers in one direction, over sequences of one length.

Gates are in the library's order: update, reset and new state of a GRU; input, forget, cell and
output of an LSTM.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import NamedTuple

import torch

from hetu.onednn import binding as c
from hetu.onednn.common import (
    MOST,
    Ints,
    contiguous,
    contiguous_strides,
    present,
)
from hetu.onednn.packing import Packed, packed
from hetu.onednn.primitive import After, Description, Order, Primitive, any_order, strided


class Recurrence(NamedTuple):
    """A kind of layer: the library's function and activation, and how many gates it has.

    `biases` are the gates that have a bias: one has two, where the reset comes after the product.
    """

    function: str
    activation: tuple[int, ...]
    gates: int
    biases: int
    has_cell: bool = False


RECURRENCES = {
    "RNN Tanh": Recurrence("vanilla_rnn_forward", (0x21,), 1, 1),
    "RNN Relu": Recurrence("vanilla_rnn_forward", (0x20,), 1, 1),
    "GRU": Recurrence("gru_forward", (), 3, 3),
    "GRU reset after": Recurrence("lbr_gru_forward", (), 3, 4),
    "LSTM": Recurrence("lstm_forward", (), 4, 4, has_cell=True),
}

_DIRECTIONS = {False: 1, True: 2}

_SMALL = 1 << 16
"""Steps of up to so many multiplications of states take one thread: to share them costs more."""


def pack_recurrent(
    w: torch.Tensor, r: torch.Tensor, kind: str, shape: Ints, goes_back: bool
) -> tuple[Packed, Packed]:
    """Weights of inputs and states, (gates times hidden, ...), for sequences of a shape."""
    hidden = r.shape[1]
    with _threads(kind, shape[1], hidden):
        description = _describe(kind, shape, hidden, goes_back, torch.get_num_threads())
        of_inputs = _packed(description, kind, c.WEIGHTS, w)
        return of_inputs, _packed(description, kind, c.STATE_WEIGHTS, r)


def recurrent(
    x: torch.Tensor,
    states: Sequence[torch.Tensor],
    weights: Sequence[Packed],
    bias: torch.Tensor,
    kind: str,
    goes_back: bool,
) -> tuple[torch.Tensor, ...]:
    """The outputs (time, batch, hidden), and the last states (batch, hidden): an LSTM has two.

    `bias` is (gates with a bias times hidden).
    """
    batch, hidden = states[0].shape
    orders = tuple(weight.order for weight in weights)
    given = (contiguous(x), *map(contiguous, states), *weights, contiguous(bias))
    last = [torch.empty((batch, hidden), dtype=torch.float32) for _ in states]
    with _threads(kind, batch, hidden):
        threads = torch.get_num_threads()
        primitive = _recurrent(kind, tuple(x.shape), hidden, goes_back, orders, threads)
        return primitive(*given, *last), *last


def _threads(kind: str, batch: int, hidden: int) -> AbstractContextManager[None]:
    is_small = batch * RECURRENCES[kind].gates * hidden * hidden <= _SMALL
    return present().one_thread() if is_small else nullcontext()


@lru_cache(MOST)
def _recurrent(
    kind: str,
    shape: Ints,
    hidden: int,
    goes_back: bool,
    weights: tuple[Order, Order],
    threads: int,
) -> Primitive:
    description = _describe(kind, shape, hidden, goes_back, threads, weights)
    states, last = (c.STATE, c.CELL), (c.LAST_STATE, c.LAST_CELL)
    count = 1 + RECURRENCES[kind].has_cell
    roles = [c.SOURCE, *states[:count], c.WEIGHTS, c.STATE_WEIGHTS, c.BIAS, *last[:count]]
    result = (*shape[:2], hidden)
    return Primitive(description, roles, result, contiguous_strides(result))


@lru_cache(MOST)
def _describe(
    kind: str,
    shape: Ints,
    hidden: int,
    goes_back: bool,
    threads: int,
    weights: tuple[Order, Order] | None = None,
) -> Description:
    dnnl, found, (time, batch, features) = present(), RECURRENCES[kind], shape
    sizes = [(1, 1, rows, found.gates, hidden) for rows in (features, hidden)]
    of_inputs, of_states = weights or (any_order(dnnl, size) for size in sizes)
    state = _plain((1, 1, batch, hidden))
    states, peepholes_and_projection = (state, state) if found.has_cell else (state,), (None, None)
    given = (
        dnnl.engine, c.INFERENCE, *found.activation, _DIRECTIONS[goes_back], _plain(shape), *states,
        of_inputs, of_states, *(peepholes_and_projection if found.has_cell else ()),
        _plain((1, 1, found.biases, hidden)), _plain((time, batch, hidden)), *states, 0,
        *((0.0, 0.0) if found.activation else ()),
    )  # fmt: skip
    return Description(dnnl, found.function, given, After())


def _packed(description: Description, kind: str, role: int, weight: torch.Tensor) -> Packed:
    gates, (rows, columns) = RECURRENCES[kind].gates, weight.shape
    hidden, whole = rows // gates, rows * columns
    shape = (1, 1, columns, gates, hidden)
    strides = (whole, whole, 1, hidden * columns, columns)
    order = description.order(role, shape)
    return packed(contiguous(weight).as_strided(shape, strides), order)


def _plain(shape: Ints) -> Order:
    return strided(present(), shape, contiguous_strides(shape))
