"""GRU and RNN layers on the CPU: directions side by side, with few operators in each step.

torch's kernels walk one direction after the other, and their derivatives add up those of the
weights in every step. Here each step hands on the gradient of the states alone, by factors that are
computed for all steps at once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from hetu.ops.autocast import outside_autocast
from hetu.ops.kinds import Ints
from hetu.ops.recurrent import Layer, States, fused, goes_backward

LARGEST_STEP = 4 << 20
"""With more multiplications of a direction in a step, torch's kernels are as fast."""

Walk = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""From the inputs' part of the gates (time, directions, batch, gates), the recurrent weights, their
biases (directions, 1, gates) and the first states to all states (time, directions, batch, hidden).
"""


def standard_layer(
    walk: Walk, run: Callable[..., States], layer: Layer, order: Ints
) -> tuple[Tensor, States]:
    """What a kind of cell makes of a layer that torch's kernels take, where that is faster.

    `walk` does it here, `run` in torch's kernel with its `order` of ONNX's gates.
    """
    return _walked(walk, layer) if _is_for_steps(layer) else fused(run, layer, order)


def _is_for_steps(layer: Layer) -> bool:
    x, r = layer.x, layer.r
    if x.device.type != "cpu" or layer.lengths is not None:
        return False
    if torch.promote_types(x.dtype, r.dtype) not in (torch.float32, torch.float64):
        return False
    return x.shape[1] * r[0].numel() <= LARGEST_STEP


def _walked(walk: Walk, layer: Layer) -> tuple[Tensor, States]:
    with outside_autocast(layer.x.device):
        layer = layer.in_one_type()
        if layer.b is None:
            b_w, b_r = None, layer.r.new_zeros(layer.r.shape[:2])
        else:
            b_w, b_r = layer.b.chunk(2, -1)
            b_w = b_w.flatten()
        gates = F.linear(layer.x, layer.w.flatten(0, 1), b_w)
        gates = gates.unflatten(-1, (layer.directions, -1)).transpose(1, 2)
        y = walk(_turned(gates, layer), layer.r, b_r.unsqueeze(1), layer.states[0])
        return _turned(y, layer), (y[-1].clone(),)


def _turned(steps: Tensor, layer: Layer) -> Tensor:
    """Steps of all directions, those of directions that go backward in the opposite order."""
    if layer.directions == 1:
        return steps.flip(0) if goes_backward(layer.direction, 0) else steps
    return torch.stack([steps[:, 0], steps[:, 1].flip(0)], 1)


def reset_after_gru(gates: Tensor, r: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """A `Walk` of GRU cells that reset after the product, gates in ONNX's order."""
    if _is_differentiated(gates, r, b, h):
        return _Gru.apply(gates, r, b, h)  # pyright: ignore[reportReturnType]
    return _gru_steps(gates, r, b, h, keeps=False)[0]


def tanh_rnn(gates: Tensor, r: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """A `Walk` of cells with one gate, a hyperbolic tangent."""
    return _rnn(gates + b, r, h, True)


def relu_rnn(gates: Tensor, r: Tensor, b: Tensor, h: Tensor) -> Tensor:
    """A `Walk` of cells with one gate, the positive part."""
    return _rnn(gates + b, r, h, False)


def _is_differentiated(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _again(function: Callable[..., Tensor], inputs: Sequence[Any], ctx: Any, dy: Tensor) -> Any:
    """The gradients by torch's rules, of what `function` makes, for derivatives of them."""
    wanted = [each for each, needs in zip(inputs, ctx.needs_input_grad, strict=False) if needs]
    found = iter(torch.autograd.grad(function(*inputs), wanted, dy, create_graph=True))
    return tuple(next(found) if needs else None for needs in ctx.needs_input_grad)


# GRU --------------------------------------------------------------------------------------------


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, r: Tensor, b: Tensor, h: Tensor) -> Tensor:
        y, active, recurrent = _gru_steps(gates, r, b, h, keeps=True)
        ctx.save_for_backward(gates, r, b, h, y, active, recurrent)
        return y

    @staticmethod
    def backward(ctx: Any, *dys: Tensor) -> Any:
        (dy,) = dys
        gates, r, b, h, y, active, recurrent = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _again(_plain_gru, (gates, r, b, h), ctx, dy)
        return _gru_backward(r, h, y, active, recurrent, dy)


def _gru_steps(
    gates: Tensor, r: Tensor, b: Tensor, h: Tensor, keeps: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """All states, the activated gates, and the states' part of the gates.

    Without `keeps`, gates are those of the last step: the others are not needed.
    """
    time, size = len(gates), h.shape[-1]
    kept = gates.new_empty(2, time if keeps else 1, *gates.shape[1:])
    active, recurrent = kept if keeps else kept.expand(2, time, *gates.shape[1:])
    y = gates.new_empty(time, *h.shape)
    sizes, weight = (2 * size, size), r.transpose(1, 2)
    steps = zip(
        *_steps(gates, sizes), recurrent.unbind(), *_steps(recurrent, sizes),
        *_steps(active, sizes), *_steps(active, (size, size, size))[:2], y.unbind(), strict=True,
    )  # fmt: skip
    for x_both, x_last, product, p_both, p_last, both, hidden, update, reset, state in steps:
        torch.baddbmm(b, h, weight, out=product)
        torch.add(x_both, p_both, out=both).sigmoid_()
        torch.addcmul(x_last, reset, p_last, out=hidden).tanh_()
        h = torch.lerp(hidden, h, update, out=state)
    return y, active, recurrent


def _steps(gates: Tensor, sizes: Sequence[int]) -> list[tuple[Tensor, ...]]:
    """Parts of the gates, each as its steps: views, made at once since each costs a microsecond."""
    return [part.unbind() for part in gates.split(sizes, -1)]


def _gru_backward(
    r: Tensor, h: Tensor, y: Tensor, active: Tensor, recurrent: Tensor, dy: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the gates, the recurrent weights, their biases and the first states."""
    before = torch.cat([h[None], y[:-1]])
    update, reset, hidden = active.chunk(3, -1)
    by_hidden = (1 - update) * (1 - hidden * hidden)
    by_reset = by_hidden * recurrent.chunk(3, -1)[2] * reset * (1 - reset)
    by_update = (before - hidden) * update * (1 - update)
    factors = torch.stack([by_update, by_reset, by_hidden * reset, by_hidden], -2)
    found = torch.empty_like(factors)
    products = found.flatten(-2)[..., : r.shape[1]]
    dh = _walk_back(dy, factors, found, products, r, update)
    d_gates = torch.cat([found[..., :2, :].flatten(-2), found[..., 3, :]], -1)
    return d_gates, _of_weights(products, before), products.sum((0, 2)).unsqueeze(1), dh


def _plain_gru(gates: Tensor, r: Tensor, b: Tensor, h: Tensor) -> Tensor:
    states = []
    for x in gates:
        x_update, x_reset, x_hidden = x.chunk(3, -1)
        update, reset, hidden = torch.baddbmm(b, h, r.transpose(1, 2)).chunk(3, -1)
        hidden = (x_hidden + (x_reset + reset).sigmoid() * hidden).tanh()
        h = torch.lerp(hidden, h, (x_update + update).sigmoid())
        states.append(h)
    return torch.stack(states)


# RNN --------------------------------------------------------------------------------------------


def _rnn(gates: Tensor, r: Tensor, h: Tensor, is_tanh: bool) -> Tensor:
    if _is_differentiated(gates, r, h):
        return _Rnn.apply(gates, r, h, is_tanh)  # pyright: ignore[reportReturnType]
    return _rnn_steps(gates, r, h, is_tanh)


class _Rnn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, r: Tensor, h: Tensor, is_tanh: bool) -> Tensor:
        ctx.is_tanh = is_tanh
        y = _rnn_steps(gates, r, h, is_tanh)
        ctx.save_for_backward(gates, r, h, y)
        return y

    @staticmethod
    def backward(ctx: Any, *dys: Tensor) -> Any:
        (dy,) = dys
        gates, r, h, y = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _again(_plain_rnn, (gates, r, h, ctx.is_tanh), ctx, dy)
        factors = 1 - y * y if ctx.is_tanh else (y > 0).to(y.dtype)
        found = torch.empty_like(factors)
        dh = _walk_back(dy, factors.unsqueeze(-2), found.unsqueeze(-2), found, r)
        return found, _of_weights(found, torch.cat([h[None], y[:-1]])), dh, None


def _rnn_steps(gates: Tensor, r: Tensor, h: Tensor, is_tanh: bool) -> Tensor:
    y, weight = gates.new_empty(len(gates), *h.shape), r.transpose(1, 2)
    activate = torch.tanh_ if is_tanh else torch.relu_
    for x, state in zip(gates.unbind(), y.unbind(), strict=True):
        h = activate(torch.baddbmm(x, h, weight, out=state))
    return y


def _plain_rnn(gates: Tensor, r: Tensor, h: Tensor, is_tanh: bool) -> Tensor:
    states = []
    for x in gates:
        h = torch.baddbmm(x, h, r.transpose(1, 2))
        h = h.tanh() if is_tanh else h.relu()
        states.append(h)
    return torch.stack(states)


# Derivatives ------------------------------------------------------------------------------------


def _walk_back(
    dy: Tensor, factors: Tensor, found: Tensor, products: Tensor, r: Tensor,
    kept: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The gradient of the first states; `found` becomes `factors` times that of each step's states.

    `products` are the parts of `found` that go through the recurrent weights; `kept` is what a step
    takes over of the states before it.
    """
    outer = dy.unbind()
    steps = list(zip(factors.unbind(), found.unbind(), products.unbind(), strict=True))
    shares = [None] * len(outer) if kept is None else kept.unbind()
    dh = outer[-1]
    for step in reversed(range(len(outer))):
        factor, result, product = steps[step]
        torch.mul(dh.unsqueeze(-2), factor, out=result)
        share, given = shares[step], outer[step - 1] if step else torch.zeros_like(dh)
        dh = torch.baddbmm(given if share is None else torch.addcmul(given, dh, share), product, r)
    return dh


def _of_weights(products: Tensor, before: Tensor) -> Tensor:
    """The gradients of the recurrent weights, from those of the products and the states before."""
    return torch.einsum("tdbg,tdbh->dgh", products, before)
