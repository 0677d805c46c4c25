"""Runs recurrent layers: in torch's fused kernels, or step by step.

Time is the first axis, the batch the second; states are (directions, batch, hidden).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from hetu.errors import ModelError
from hetu.ops.autocast import outside_autocast, together
from hetu.ops.kinds import Any, Floats, Ints, Strs, Tensor

States = tuple[Tensor, ...]
Activation = Callable[[Tensor], Tensor]
LSTM_GATES = (0, 2, 3, 1)
"""ONNX's gates, which are input, output, forget and cell, in torch's order."""

Cell = Callable[[Tensor, States], States]
"""A step: from the input's part of the gates and the states to the new states, the output first."""


@dataclass(frozen=True, slots=True)
class Layer:
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
        """1, or 2 if bidirectional."""
        return self.w.shape[0]

    def in_one_type(self) -> "Layer":
        """The layer with all numbers in the widest type among them."""
        biases = () if self.b is None else (self.b,)
        x, w, r, *rest = together(self.x, self.w, self.r, *self.states, *biases)
        states, b = rest[: len(self.states)], rest[len(self.states) :]
        return Layer(x, w, r, b[0] if b else None, self.lengths, tuple(states), self.direction)

    def is_fusible(self, clip: float | None) -> bool:
        """Whether torch's kernels can walk these sequences; `torch.compile` does not take them."""
        if torch.compiler.is_compiling():
            return False
        if clip is not None or 0 in self.x.shape or 0 in (self.lengths or ()):
            return False
        return self.direction != "reverse" or self.lengths is None


def goes_backward(direction: str, side: int) -> bool:
    """Whether the direction numbered `side` goes from the last step to the first."""
    return direction == "reverse" or side == 1


def make_layer(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Ints | None,
    initial: Sequence[Tensor | None],
    direction: str,
    layout: int,
    gates: int,
) -> Layer:
    """A node's layer, of a kind with that many gates, in the layout used here."""
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ModelError(f"direction {direction!r} is not forward, reverse or bidirectional")
    for name, tensor in {"x": x, "w": w, "r": r}.items():
        if tensor.ndim != 3:
            raise ModelError(f"{name} is of shape {list(tensor.shape)}: it has to have 3 axes")
    if layout:
        x = x.transpose(0, 1)
        initial = [None if state is None else state.transpose(0, 1) for state in initial]
    directions = 2 if direction == "bidirectional" else 1
    zeros = x.new_zeros(w.shape[0], x.shape[1], r.shape[-1])
    states = tuple(zeros if state is None else state for state in initial)
    _check_shapes(x, w, r, b, lengths, states, (directions, gates * r.shape[-1]))
    is_full = lengths is None or all(length == x.shape[0] for length in lengths)
    return Layer(x, w, r, b, None if is_full else lengths, states, direction)


def _check_shapes(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Ints | None,
    states: States,
    outer: tuple[int, int],
) -> None:
    """Refuse what does not fit together: torch's kernels write past the end of such tensors."""
    (directions, rows), hidden = outer, r.shape[-1]
    length, batch, features = x.shape
    expected = {
        "r": (r, (directions, rows, hidden)),
        "w": (w, (directions, rows, features)),
        "b": (b, (directions, 2 * rows)),
        "initial state": (states[0], (directions, batch, hidden)),
        "initial cell state": (states[:2][-1], (directions, batch, hidden)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ModelError(f"{name} is of shape {list(tensor.shape)}, not {list(shape)}")
    if hidden == 0:
        raise ModelError(f"r is of shape {list(r.shape)}: there are no hidden units")
    if lengths is not None and (
        len(lengths) != batch or not all(0 <= steps <= length for steps in lengths)
    ):
        raise ModelError(f"sequence_lens {list(lengths)} for {batch} sequences of {length} steps")


def laid_out(y: Tensor, states: States, layout: int) -> Any:
    """Outputs in the node's layout; `y` is (time, directions, batch, hidden)."""
    if not layout:
        return y, *states
    return y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in states)


# torch's kernels --------------------------------------------------------------------------------


def fused(run: Callable[..., States], layer: Layer, order: Ints) -> tuple[Tensor, States]:
    """What torch's kernel `run` makes of a layer; `order` is torch's order of ONNX's gates.

    On the CPU in the layer's own type: autocast lowers half of what the kernels there take.
    """
    if layer.x.is_meta:
        return _shaped(layer)
    if layer.x.device.type != "cpu":
        return _fused(run, layer, order)
    with outside_autocast(layer.x.device):
        return _fused(run, layer.in_one_type(), order)


def _shaped(layer: Layer) -> tuple[Tensor, States]:
    """What a layer makes on the meta device, where torch's kernels go step by step for nothing."""
    time, batch = layer.x.shape[:2]
    y = layer.x.new_empty(time, layer.directions, batch, layer.r.shape[-1])
    return y, tuple(map(torch.empty_like, layer.states))


def _fused(run: Callable[..., States], layer: Layer, order: Ints) -> tuple[Tensor, States]:
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
    run: Callable[..., States], layer: Layer, weights: list[Tensor], options: tuple
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


def _torch_weights(layer: Layer, order: Ints) -> list[Tensor]:
    """Each direction's weights with torch's order of gates.

    Beside the CPU they lie in one piece of memory, matrices before biases, as cuDNN wants them.
    """
    matrices = [matrix for pair in zip(layer.w, layer.r, strict=True) for matrix in pair]
    biases = [] if layer.b is None else [part for both in layer.b for part in both.chunk(2)]
    tensors = matrices + biases
    gates = [tensor.chunk(len(order)) for tensor in tensors]
    if layer.x.device.type == "cpu":
        weights = [torch.cat([parts[i] for i in order]) for parts in gates]
    else:
        flat = torch.cat([parts[i].reshape(-1) for parts in gates for i in order])
        pieces = flat.split([tensor.numel() for tensor in tensors])
        weights = [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]
    matrices, biases = weights[: len(matrices)], weights[len(matrices) :]
    return [*matrices[:2], *biases[:2], *matrices[2:], *biases[2:]]


# Step by step -----------------------------------------------------------------------------------


def stepped(
    layer: Layer, make_cell: Callable[[int, Tensor, Tensor | None], Cell]
) -> tuple[Tensor, States]:
    """The layer by a cell per direction, made of its number, recurrent weights and bias."""
    if layer.x.is_meta:
        return _shaped(layer)
    outputs, finals = [], []
    for d in range(layer.directions):
        bias_w, bias_r = (None, None) if layer.b is None else layer.b[d].chunk(2)
        gates = F.linear(layer.x, layer.w[d], bias_w)
        cell = make_cell(d, layer.r[d], bias_r)
        states = tuple(state[d] for state in layer.states)
        y, states = _walk(gates, states, cell, layer.lengths, goes_backward(layer.direction, d))
        outputs.append(y)
        finals.append(states)
    return torch.stack(outputs, 1), tuple(map(torch.stack, zip(*finals, strict=True)))


def _walk(
    gates: Tensor, states: States, cell: Cell, lengths: Ints | None, is_reversed: bool
) -> tuple[Tensor, States]:
    """One direction through time; past a sequence's end states stay and outputs are zero.

    The final states of a sequence without steps are zero: ONNX is silent, ONNX Runtime has it so.
    """
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
    if active is None:
        return y, states
    return torch.where(active, y, 0), tuple(torch.where(active[0], s, 0) for s in states)


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


def activation_names(activations: Strs | None, default: Strs, layer: Layer) -> Strs:
    """The activations of all directions, in lower case."""
    if not activations:
        return default * layer.directions
    count = len(default) * layer.directions
    if len(activations) < count:
        raise ModelError(f"there are {len(activations)} activations, the layer needs {count}")
    return tuple(name.lower() for name in activations[:count])


def repeats(names: Strs, standard: Strs) -> bool:
    """Whether every direction has the standard activations."""
    return names == standard * (len(names) // len(standard))


def make_activations(
    names: Strs, alphas: Floats, betas: Floats, layer: Layer, clips: tuple[float | None, ...]
) -> list[list[Activation]]:
    """The functions of each direction; the values go to the functions that take one, in order.

    `clips` holds the bound of each function's argument.
    """
    left = iter(alphas), iter(betas)
    functions = [
        _clipped(_activation(name, *left), clip)
        for name, clip in zip(names, clips * layer.directions, strict=True)
    ]
    count = len(clips)
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


def _clipped(function: Activation, clip: float | None) -> Activation:
    return function if clip is None else lambda x: function(x.clamp(-clip, clip))
