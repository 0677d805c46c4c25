"""An LSTM that attends to a memory at every step (Bahdanau et al. 2015)."""

from dataclasses import dataclass

import torch

from hetu.errors import ModelError
from hetu.ops.ai_onnx.rnn import lstm_step
from hetu.ops.kinds import Any, Floats, Ints, Strs, Tensor
from hetu.ops.recurrent import (
    Cell,
    States,
    activation_names,
    laid_out,
    make_activations,
    make_layer,
    stepped,
)
from hetu.ops.registry import op


@op("AttnLSTM", domain="com.microsoft")
def attn_lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Ints | None = None,
    initial_h: Tensor | None = None, initial_c: Tensor | None = None, p: Tensor | None = None,
    qw: Tensor | None = None, mw: Tensor | None = None, v: Tensor | None = None,
    m: Tensor | None = None, memory_seq_lens: Any | None = None, aw: Tensor | None = None, *,
    activation_alpha: Floats = (), activation_beta: Floats = (), activations: Strs | None = None,
    clip: float | None = None, direction: str = "forward", hidden_size: int | None = None,
    input_forget: bool = False,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    if qw is None or mw is None or v is None or m is None:
        raise ModelError("attention needs QW, MW, V and M")
    width = m.shape[-1] if aw is None else aw.shape[-1]
    attention = x.new_zeros(w.shape[0], x.shape[1], width)
    initial = initial_h, initial_c, attention
    own, of_attention = w.split([x.shape[-1], width], -1)
    layer = make_layer(x, own, r, b, sequence_lens, initial, direction, 0, 4)
    names = activation_names(activations, ("sigmoid", "tanh", "tanh"), layer)
    clips = clip, clip, None
    functions = make_activations(names, activation_alpha, activation_beta, layer, clips)
    memories = [
        _Memory(m, memory_seq_lens, qw[d], mw[d], v[d], None if aw is None else aw[d])
        for d in range(layer.directions)
    ]

    def make_cell(d: int, r: Tensor, b: Tensor | None) -> Cell:
        peepholes = (None,) * 3 if p is None else p[d].chunk(3)

        def cell(gates: Tensor, states: States) -> States:
            gates = gates + states[2] @ of_attention[d].t()
            hidden, kept = lstm_step(r, b, functions[d], peepholes, input_forget, gates, states[:2])
            return hidden, kept, memories[d].read(hidden)

        return cell

    y, (hidden, kept, _) = stepped(layer, make_cell)
    return laid_out(y, (hidden, kept), 0)


@dataclass(frozen=True, slots=True)
class _Memory:
    """What one direction attends to: (batch, places, size), the rest of it padding."""

    values: Tensor
    lengths: Tensor | None
    query_weight: Tensor
    key_weight: Tensor
    score_weight: Tensor
    output_weight: Tensor | None

    def read(self, hidden: Tensor) -> Tensor:
        """The attention of a hidden state."""
        keys = self.values @ self.key_weight
        query = (hidden @ self.query_weight).unsqueeze(1)
        scores = (self.score_weight * torch.tanh(keys + query)).sum(-1)
        if self.lengths is not None:
            places = torch.arange(keys.shape[1], device=keys.device)
            scores = scores.masked_fill(places >= self.lengths[:, None], -torch.inf)
        context = (scores.softmax(-1).unsqueeze(1) @ self.values).squeeze(1)
        if self.output_weight is None:
            return context
        return torch.cat((hidden, context), -1) @ self.output_weight
