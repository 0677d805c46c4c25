"""Recurrent layers on weights that are packed once."""

from collections.abc import Sequence

import torch

from hetu import onednn
from hetu.ops import native
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.recurrent import LSTM_GATES, goes_backward
from hetu.ops.registry import FUSED, op


@op("PackRecurrent", domain=FUSED)
def pack_recurrent(
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    *,
    kind: str,
    side: int,
    direction: str,
    like_shape: Ints,
) -> tuple[Any, Any, Tensor]:
    """The weights of one direction, the one numbered `side`, as `Recurrent` wants them."""
    gates = LSTM_GATES if kind == "LSTM" else tuple(range(onednn.RECURRENCES[kind].gates))
    of_inputs, of_states = (_in_order(weight[side], gates) for weight in (w, r))
    goes_back = goes_backward(direction, side)
    packed = onednn.pack_recurrent(of_inputs, of_states, kind, like_shape, goes_back)
    rows = r.shape[-2]
    return *packed, _bias(kind, r.new_zeros(2 * rows) if b is None else b[side], gates)


def _bias(kind: str, both: Tensor, gates: Ints) -> Tensor:
    """The biases of inputs and states as one, but for a new state whose reset comes after."""
    of_inputs, of_states = both.chunk(2)
    if kind != "GRU reset after":
        return _in_order(of_inputs + of_states, gates)
    added = 2 * len(of_inputs) // 3
    parts = of_inputs[:added] + of_states[:added], of_inputs[added:], of_states[added:]
    return torch.cat(parts)


@op("Recurrent", domain=FUSED)
def recurrent(
    x: Tensor,
    initial_h: Tensor | None,
    initial_c: Tensor | None,
    *weights: Any,
    kind: str,
    direction: str,
) -> tuple[Tensor, ...]:
    """ONNX's LSTM, GRU or RNN; for each direction, there are three weights of `PackRecurrent`."""
    found = onednn.RECURRENCES[kind]
    sides = [weights[start : start + 3] for start in range(0, len(weights), 3)]
    shape = len(sides), x.shape[1], len(weights[2]) // found.biases
    initial = (initial_h, initial_c)[: 1 + found.has_cell]
    states = [x.new_zeros(shape) if state is None else state for state in initial]
    results = [
        onednn.recurrent(
            x, [s[i] for s in states], given[:2], given[2], kind, goes_backward(direction, i)
        )
        for i, given in enumerate(sides)
    ]
    y, *last = zip(*results, strict=True)
    return _apart(y, 1), *(_apart(state, 0) for state in last)


def _apart(sides: Sequence[Tensor], axis: int) -> Tensor:
    """The directions along an axis of their own."""
    return sides[0].unsqueeze(axis) if len(sides) == 1 else torch.stack(list(sides), axis)


@op("PackLSTM", domain=FUSED)
def pack_lstm(
    w: Tensor, r: Tensor, b: Tensor | None = None, *, side: int, direction: str
) -> tuple[Any, Any, Tensor, Tensor]:
    """The weights of one direction, the one numbered `side`, as `LSTM` wants them."""
    rows = r.shape[-2]
    b_w, b_r = [r.new_zeros(rows)] * 2 if b is None else b[side].split(rows)
    of_inputs, of_states = (_in_order(weight[side], LSTM_GATES) for weight in (w, r))
    packed_w, packed_r = native.pack_lstm(of_inputs, of_states, goes_backward(direction, side))
    return packed_w, packed_r, _in_order(b_w, LSTM_GATES), _in_order(b_r, LSTM_GATES)


def _in_order(tensor: Tensor, gates: Ints) -> Tensor:
    parts = tensor.chunk(len(gates))
    return torch.cat([parts[gate] for gate in gates])


@op("LSTM", domain=FUSED)
def lstm(
    x: Tensor, initial_h: Tensor | None, initial_c: Tensor | None, *weights: Any, direction: str
) -> tuple[Tensor, Tensor, Tensor]:
    """ONNX's LSTM by torch; for each direction, there are the four weights of `PackLSTM`."""
    sides = [weights[start : start + 4] for start in range(0, len(weights), 4)]
    shape = len(sides), x.shape[1], len(weights[2]) // 4
    h, c = (x.new_zeros(shape) if s is None else s for s in (initial_h, initial_c))
    results = [
        native.lstm(x, h[i : i + 1], c[i : i + 1], given, goes_backward(direction, i))
        for i, given in enumerate(sides)
    ]
    outputs, *states = zip(*results, strict=True)
    hidden, cell = (_joined(state, 0) for state in states)
    return _joined([y.unsqueeze(1) for y in outputs], 1), hidden, cell


def _joined(tensors: Sequence[Tensor], axis: int) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), axis)
