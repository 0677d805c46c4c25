"""Recurrent layers.

A layer in the form that torch has too runs in torch's fused kernels, any other step by step. Inside
of this file time is the first axis, the batch the second; states are (directions, batch, hidden).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import _VF  # pyright: ignore[reportPrivateImportUsage]
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hetu.errors import ModelError
from hetu.ops.kinds import Any, Floats, Ints, Strs, Tensor
from hetu.ops.registry import op

States = tuple[Tensor, ...]
Activation = Callable[[Tensor], Tensor]
Cell = Callable[[Tensor, States], States]
"""A step: from the input's part of the gates and the states to the new states, the output first."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Sequences and weights; `lengths` is None where all sequences are as long as `x`."""

    x: Tensor
    w: Tensor
    r: Tensor
    b: Tensor | None
    lengths: Ints | None
    states: States
    direction: str

    @property
    def directions(self) -> int:
        return self.w.shape[0]

    def is_fusible(self, clip: float | None) -> bool:
        """Whether torch's kernels can walk these sequences."""
        if clip is not None or 0 in self.x.shape or 0 in (self.lengths or ()):
            return False
        return self.direction != "reverse" or self.lengths is None


@op("RNN", since=7)
def rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Ints | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Floats = (),
    activation_beta: Floats = (),
    activations: Strs | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> tuple[Tensor | None, Tensor | None]:
    layer = _layer(x, w, r, b, sequence_lens, (initial_h,), direction, layout)
    names = _names(activations, ("tanh",), layer)
    if set(names) in ({"tanh"}, {"relu"}) and layer.is_fusible(clip):
        y, states = _fused(_VF.rnn_tanh if names[0] == "tanh" else _VF.rnn_relu, layer, (0,))
    else:
        functions = _activations(names, activation_alpha, activation_beta, clip, layer)
        y, states = _stepped(layer, lambda d, r, b: partial(_rnn_step, r, b, *functions[d]))
    return _laid_out(y, states, layout)


def _rnn_step(r: Tensor, b: Tensor | None, f: Activation, x: Tensor, states: States) -> States:
    return (f(x + F.linear(states[0], r, b)),)


@op("GRU", since=7)
def gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Ints | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Floats = (),
    activation_beta: Floats = (),
    activations: Strs | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Tensor | None, Tensor | None]:
    layer = _layer(x, w, r, b, sequence_lens, (initial_h,), direction, layout)
    standard = ("sigmoid", "tanh")
    names = _names(activations, standard, layer)
    if linear_before_reset and _repeats(names, standard) and layer.is_fusible(clip):
        y, states = _fused(_VF.gru, layer, (1, 0, 2))
    else:
        functions = _activations(names, activation_alpha, activation_beta, clip, layer)
        step = _gru_step_linear_before_reset if linear_before_reset else _gru_step
        y, states = _stepped(layer, lambda d, r, b: partial(step, r, b, *functions[d]))
    return _laid_out(y, states, layout)


def _gru_step(
    r: Tensor, b: Tensor | None, f: Activation, g: Activation, x: Tensor, states: States
) -> States:
    h = states[0]
    size = h.shape[-1]
    b_gates, b_hidden = (None, None) if b is None else (b[: 2 * size], b[2 * size :])
    gates = f(x[:, : 2 * size] + F.linear(h, r[: 2 * size], b_gates))
    update, reset = gates.chunk(2, -1)
    hidden = g(x[:, 2 * size :] + F.linear(reset * h, r[2 * size :], b_hidden))
    return (torch.lerp(hidden, h, update),)


def _gru_step_linear_before_reset(
    r: Tensor, b: Tensor | None, f: Activation, g: Activation, x: Tensor, states: States
) -> States:
    h = states[0]
    size = h.shape[-1]
    recurrent = F.linear(h, r, b)
    update, reset = f(x[:, : 2 * size] + recurrent[:, : 2 * size]).chunk(2, -1)
    hidden = g(x[:, 2 * size :] + reset * recurrent[:, 2 * size :])
    return (torch.lerp(hidden, h, update),)


@op("LSTM", since=7)
def lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Ints | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    activation_alpha: Floats = (),
    activation_beta: Floats = (),
    activations: Strs | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    layer = _layer(x, w, r, b, sequence_lens, (initial_h, initial_c), direction, layout)
    standard = ("sigmoid", "tanh", "tanh")
    names = _names(activations, standard, layer)
    is_standard = _repeats(names, standard) and p is None and not input_forget
    if is_standard and layer.is_fusible(clip):
        y, states = _fused(_VF.lstm, layer, (0, 2, 3, 1))
    else:
        functions = _activations(names, activation_alpha, activation_beta, clip, layer)
        peepholes = [(None,) * 3 if p is None else p[d].chunk(3) for d in range(layer.directions)]
        y, states = _stepped(
            layer,
            lambda d, r, b: partial(
                _lstm_step, r, b, functions[d], peepholes[d], bool(input_forget)
            ),
        )
    return _laid_out(y, states, layout)


def _lstm_step(
    r: Tensor,
    b: Tensor | None,
    functions: Sequence[Activation],
    peepholes: Sequence[Tensor | None],
    is_coupled: bool,
    x: Tensor,
    states: States,
) -> States:
    f, g, h = functions
    hidden, cell = states
    gate_i, gate_o, gate_f, gate_c = (x + F.linear(hidden, r, b)).chunk(4, -1)
    peep_i, peep_o, peep_f = peepholes
    entering = f(_peeped(gate_i, peep_i, cell))
    kept = 1 - entering if is_coupled else f(_peeped(gate_f, peep_f, cell))
    cell = kept * cell + entering * g(gate_c)
    return f(_peeped(gate_o, peep_o, cell)) * h(cell), cell


def _peeped(gate: Tensor, peephole: Tensor | None, cell: Tensor) -> Tensor:
    return gate if peephole is None else gate + peephole * cell


# Older versions ---------------------------------------------------------------------------------


@op("RNN")
def rnn_1(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Ints | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Floats = (),
    activation_beta: Floats = (),
    activations: Strs | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    output_sequence: int = 0,
) -> tuple[Tensor | None, Tensor | None]:
    return rnn(
        x, w, r, b, sequence_lens, initial_h, activation_alpha=activation_alpha,
        activation_beta=activation_beta, activations=activations, clip=clip, direction=direction,
    )  # fmt: skip


@op("GRU")
def gru_1(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Ints | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: Floats = (),
    activation_beta: Floats = (),
    activations: Strs | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    linear_before_reset: int = 0,
    output_sequence: int = 0,
) -> tuple[Tensor | None, Tensor | None]:
    return gru(
        x, w, r, b, sequence_lens, initial_h, activation_alpha=activation_alpha,
        activation_beta=activation_beta, activations=activations, clip=clip, direction=direction,
        linear_before_reset=linear_before_reset,
    )  # fmt: skip


@op("LSTM")
def lstm_1(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    sequence_lens: Ints | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    *,
    activation_alpha: Floats = (),
    activation_beta: Floats = (),
    activations: Strs | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    output_sequence: int = 0,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    return lstm(
        x, w, r, b, sequence_lens, initial_h, initial_c, p, activation_alpha=activation_alpha,
        activation_beta=activation_beta, activations=activations, clip=clip, direction=direction,
        input_forget=input_forget,
    )  # fmt: skip


# Layers -----------------------------------------------------------------------------------------


def _layer(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Ints | None,
    initial: Sequence[Tensor | None],
    direction: str,
    layout: int,
) -> _Layer:
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ModelError(f"direction {direction!r} is not forward, reverse or bidirectional")
    if layout:
        x = x.transpose(0, 1)
        initial = [None if state is None else state.transpose(0, 1) for state in initial]
    zeros = x.new_zeros(w.shape[0], x.shape[1], r.shape[-1])
    states = tuple(zeros if state is None else state for state in initial)
    is_full = lengths is None or all(length == x.shape[0] for length in lengths)
    return _Layer(x, w, r, b, None if is_full else lengths, states, direction)


def _laid_out(y: Tensor, states: States, layout: int) -> Any:
    """Outputs in the node's layout; `y` is (time, directions, batch, hidden)."""
    if not layout:
        return y, *states
    return y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in states)


# torch's kernels --------------------------------------------------------------------------------


def _fused(run: Callable[..., States], layer: _Layer, order: Ints) -> tuple[Tensor, States]:
    """What torch's kernel `run` makes of a layer; `order` is torch's order of ONNX's gates."""
    is_reversed, is_both = layer.direction == "reverse", layer.directions == 2
    weights = _torch_weights(layer, order)
    options = layer.b is not None, 1, 0.0, torch.is_grad_enabled(), is_both
    if layer.lengths is not None:
        y, states = _fused_packed(run, layer, weights, options)
    else:
        x = layer.x.flip(0) if is_reversed else layer.x
        y, *states = run(x, _torch_states(layer.states), weights, *options, False)
    y = y.unflatten(-1, (layer.directions, -1)).transpose(1, 2)
    return y.flip(0) if is_reversed else y, tuple(states)


def _fused_packed(
    run: Callable[..., States], layer: _Layer, weights: list[Tensor], options: tuple
) -> tuple[Tensor, Sequence[Tensor]]:
    lengths, order = torch.tensor(layer.lengths).sort(descending=True)
    order = order.to(layer.x.device)
    packed = pack_padded_sequence(layer.x.index_select(1, order), lengths)
    states = tuple(state.index_select(1, order) for state in layer.states)
    y, *states = run(packed.data, packed.batch_sizes, _torch_states(states), weights, *options)
    y, _ = pad_packed_sequence(PackedSequence(y, packed.batch_sizes), total_length=len(layer.x))
    inverse = order.argsort()
    return y.index_select(1, inverse), [state.index_select(1, inverse) for state in states]


def _torch_states(states: States) -> Tensor | States:
    states = tuple(state.contiguous() for state in states)
    return states[0] if len(states) == 1 else states


def _torch_weights(layer: _Layer, order: Ints) -> list[Tensor]:
    """The weights with torch's order of gates, in one piece of memory as cuDNN wants them."""
    pairs = zip(layer.w, layer.r, strict=True)
    tensors = [matrix for pair in pairs for matrix in pair]
    if layer.b is not None:
        tensors += [vector for both in layer.b for vector in both.chunk(2)]
    gates = [tensor.chunk(len(order)) for tensor in tensors]
    flat = torch.cat([parts[i].reshape(-1) for parts in gates for i in order])
    pieces = flat.split([tensor.numel() for tensor in tensors])
    return [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]


# Step by step -----------------------------------------------------------------------------------


def _stepped(
    layer: _Layer, make_cell: Callable[[int, Tensor, Tensor | None], Cell]
) -> tuple[Tensor, States]:
    """The layer by a cell per direction, made of its number, recurrent weights and bias."""
    outputs, finals = [], []
    for d in range(layer.directions):
        bias_w, bias_r = (None, None) if layer.b is None else layer.b[d].chunk(2)
        gates = F.linear(layer.x, layer.w[d], bias_w)
        cell = make_cell(d, layer.r[d], bias_r)
        states = tuple(state[d] for state in layer.states)
        is_reversed = layer.direction == "reverse" or d == 1
        y, states = _walk(gates, states, cell, layer.lengths, is_reversed)
        outputs.append(y)
        finals.append(states)
    return torch.stack(outputs, 1), tuple(map(torch.stack, zip(*finals, strict=True)))


def _walk(
    gates: Tensor, states: States, cell: Cell, lengths: Ints | None, is_reversed: bool
) -> tuple[Tensor, States]:
    """One direction through time; past a sequence's end states stay and outputs are zero."""
    active = _active(gates, lengths)
    times = range(len(gates))
    outputs: list[Tensor] = []
    for t in reversed(times) if is_reversed else times:
        updated = cell(gates[t], states)
        if active is not None:
            pairs = zip(updated, states, strict=True)
            updated = tuple(torch.where(active[t], new, old) for new, old in pairs)
        states = updated
        outputs.append(states[0])
    if not outputs:
        return gates.new_zeros(0, *states[0].shape), states
    y = torch.stack(outputs[::-1] if is_reversed else outputs)
    return y if active is None else torch.where(active, y, 0), states


def _active(gates: Tensor, lengths: Ints | None) -> Tensor | None:
    """Which sequences are not over at which time."""
    if lengths is None:
        return None
    ends = torch.tensor(lengths, device=gates.device).unsqueeze(-1)
    return torch.arange(len(gates), device=gates.device).reshape(-1, 1, 1) < ends


# Activations ------------------------------------------------------------------------------------

_PLAIN: dict[str, Activation] = {
    "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "softsign": F.softsign,
    "softplus": F.softplus,
}  # fmt: skip
_WITH_ALPHA: dict[str, tuple[Callable[[Tensor, float], Tensor], float]] = {
    "leakyrelu": (F.leaky_relu, 0.01),
    "thresholdedrelu": (lambda x, alpha: torch.where(x >= alpha, x, 0), 1.0),
    "elu": (F.elu, 1.0),
}
_WITH_ALPHA_AND_BETA: dict[str, tuple[Callable[[Tensor, float, float], Tensor], float, float]] = {
    "affine": (lambda x, alpha, beta: alpha * x + beta, 1.0, 0.0),
    "scaledtanh": (lambda x, alpha, beta: alpha * torch.tanh(beta * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), 0.2, 0.5),
}


def _names(activations: Strs | None, default: Strs, layer: _Layer) -> Strs:
    """The activations of all directions, in lower case."""
    if not activations:
        return default * layer.directions
    return tuple(name.lower() for name in activations[: len(default) * layer.directions])


def _repeats(names: Strs, standard: Strs) -> bool:
    return names == standard * (len(names) // len(standard))


def _activations(
    names: Strs, alphas: Floats, betas: Floats, clip: float | None, layer: _Layer
) -> list[list[Activation]]:
    """The functions of each direction; the values go to the functions that take one, in order."""
    left = iter(alphas), iter(betas)
    functions = [_activation(name, *left) for name in names]
    if clip is not None:
        functions = [partial(_clipped, function, clip) for function in functions]
    count = len(functions) // layer.directions
    return [functions[d * count : (d + 1) * count] for d in range(layer.directions)]


def _activation(name: str, alphas: Iterator[float], betas: Iterator[float]) -> Activation:
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _WITH_ALPHA:
        function, alpha = _WITH_ALPHA[name]
        alpha = next(alphas, alpha)
        return lambda x: function(x, alpha)
    if name not in _WITH_ALPHA_AND_BETA:
        raise ModelError(f"activation {name!r} is not one that recurrent operators know")
    general, alpha, beta = _WITH_ALPHA_AND_BETA[name]
    alpha, beta = next(alphas, alpha), next(betas, beta)
    return lambda x: general(x, alpha, beta)


def _clipped(function: Activation, clip: float, x: Tensor) -> Tensor:
    return function(x.clamp(-clip, clip))
