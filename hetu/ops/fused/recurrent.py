"""LSTM layers on weights that are packed once."""

from collections.abc import Sequence

import torch

from hetu.ops import native
from hetu.ops.kinds import Any, Tensor
from hetu.ops.recurrent import LSTM_GATES, goes_backward
from hetu.ops.registry import FUSED, op


@op("PackLSTM", domain=FUSED)
def pack_lstm(
    w: Tensor, r: Tensor, b: Tensor | None = None, *, side: int, direction: str
) -> tuple[Any, Any, Tensor, Tensor]:
    """The weights of one direction, the one numbered `side`, as `LSTM` wants them."""
    rows = r.shape[-2]
    b_w, b_r = [r.new_zeros(rows)] * 2 if b is None else b[side].split(rows)
    matrices = _in_order(w[side]), _in_order(r[side])
    packed_w, packed_r = native.pack_lstm(*matrices, goes_backward(direction, side))
    return packed_w, packed_r, _in_order(b_w), _in_order(b_r)


def _in_order(tensor: Tensor) -> Tensor:
    gates = tensor.chunk(4)
    return torch.cat([gates[gate] for gate in LSTM_GATES])


@op("LSTM", domain=FUSED)
def lstm(
    x: Tensor, initial_h: Tensor | None, initial_c: Tensor | None, *weights: Any, direction: str
) -> tuple[Tensor, Tensor, Tensor]:
    """ONNX's LSTM; for each direction there are the four weights that `PackLSTM` makes."""
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
