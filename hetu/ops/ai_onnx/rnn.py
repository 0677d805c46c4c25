"""Recurrent layers.

A layer in the form that torch has too runs in torch's fused kernels, or in few operators a step
where that is faster; any other runs step by step.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import _VF  # pyright: ignore[reportPrivateImportUsage]
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops.autocast import together
from hetu.ops.kinds import Floats, Ints, Strs, Tensor
from hetu.ops.recurrent import (
    LSTM_GATES,
    Activation,
    States,
    activation_names,
    fused,
    laid_out,
    make_activations,
    make_layer,
    repeats,
    stepped,
)
from hetu.ops.recurrent_steps import relu_rnn, reset_after_gru, standard_layer, tanh_rnn
from hetu.ops.registry import op


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
    layer = make_layer(x, w, r, b, sequence_lens, (initial_h,), direction, layout, 1)
    names = activation_names(activations, ("tanh",), layer)
    if set(names) in ({"tanh"}, {"relu"}) and layer.is_fusible(clip):
        is_tanh = names[0] == "tanh"
        walk, run = (tanh_rnn, _VF.rnn_tanh) if is_tanh else (relu_rnn, _VF.rnn_relu)
        y, states = standard_layer(walk, run, layer, (0,))
    else:
        functions = make_activations(names, activation_alpha, activation_beta, layer, (clip,))
        y, states = stepped(layer, lambda d, r, b: partial(_rnn_step, r, b, *functions[d]))
    return laid_out(y, states, layout)


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
    layer = make_layer(x, w, r, b, sequence_lens, (initial_h,), direction, layout, 3)
    standard = ("sigmoid", "tanh")
    names = activation_names(activations, standard, layer)
    if linear_before_reset and repeats(names, standard) and layer.is_fusible(clip):
        y, states = standard_layer(reset_after_gru, _VF.gru, layer, (1, 0, 2))
    else:
        functions = make_activations(names, activation_alpha, activation_beta, layer, (clip, clip))
        step = _gru_step_linear_before_reset if linear_before_reset else _gru_step
        y, states = stepped(layer, lambda d, r, b: partial(step, r, b, *functions[d]))
    return laid_out(y, states, layout)


def _gru_step(
    r: Tensor, b: Tensor | None, f: Activation, g: Activation, x: Tensor, states: States
) -> States:
    h = states[0]
    size = h.shape[-1]
    b_gates, b_hidden = (None, None) if b is None else (b[: 2 * size], b[2 * size :])
    gates = f(x[:, : 2 * size] + F.linear(h, r[: 2 * size], b_gates))
    update, reset = gates.chunk(2, -1)
    hidden = g(x[:, 2 * size :] + F.linear(reset * h, r[2 * size :], b_hidden))
    return (torch.lerp(*together(hidden, h, update)),)


def _gru_step_linear_before_reset(
    r: Tensor, b: Tensor | None, f: Activation, g: Activation, x: Tensor, states: States
) -> States:
    h = states[0]
    size = h.shape[-1]
    recurrent = F.linear(h, r, b)
    update, reset = f(x[:, : 2 * size] + recurrent[:, : 2 * size]).chunk(2, -1)
    hidden = g(x[:, 2 * size :] + reset * recurrent[:, 2 * size :])
    return (torch.lerp(*together(hidden, h, update)),)


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
    initial = (initial_h, initial_c)
    layer = make_layer(x, w, r, b, sequence_lens, initial, direction, layout, 4)
    _check_peepholes(p, [layer.directions, 3 * r.shape[-1]])
    standard = ("sigmoid", "tanh", "tanh")
    names = activation_names(activations, standard, layer)
    is_standard = repeats(names, standard) and p is None and not input_forget
    if is_standard and layer.is_fusible(clip):
        y, states = fused(_VF.lstm, layer, LSTM_GATES)
    else:
        # As in ONNX Runtime, the clip bounds the gates; the cell goes to h as it is.
        clips = (clip, clip, None)
        functions = make_activations(names, activation_alpha, activation_beta, layer, clips)
        peepholes = [(None,) * 3 if p is None else p[d].chunk(3) for d in range(layer.directions)]
        y, states = stepped(
            layer,
            lambda d, r, b: partial(
                lstm_step, r, b, functions[d], peepholes[d], bool(input_forget)
            ),
        )
    return laid_out(y, states, layout)


def _check_peepholes(p: Tensor | None, shape: list[int]) -> None:
    if p is not None and list(p.shape) != shape:
        raise ModelError(f"p is of shape {list(p.shape)}, not {shape}")


def lstm_step(
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
