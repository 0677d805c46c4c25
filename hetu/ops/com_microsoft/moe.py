"""Mixtures of experts."""

from collections.abc import Callable

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError, UnsupportedError, show
from hetu.ops.kinds import Tensor
from hetu.ops.registry import op

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu2": lambda x: torch.relu(x).square(),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "identity": lambda x: x,
}


@op("MoE", domain="com.microsoft")
def mo_e(
    input: Tensor,
    router_probs: Tensor,
    fc1_experts_weights: Tensor,
    fc1_experts_bias: Tensor | None,
    fc2_experts_weights: Tensor,
    fc2_experts_bias: Tensor | None = None,
    fc3_experts_weights: Tensor | None = None,
    fc3_experts_bias: Tensor | None = None,
    *,
    activation_alpha: float = 1.0,
    activation_beta: float = 0.0,
    activation_type: str = "relu",
    k: int = 1,
    normalize_routing_weights: bool = False,
    swiglu_fusion: int = 0,
    swiglu_limit: float | None = None,
    swiglu_limit_after_activation: bool = False,
    use_sparse_mixer: bool = False,
) -> Tensor:
    if use_sparse_mixer:
        raise UnsupportedError("com.microsoft.MoE with use_sparse_mixer")
    tokens = input.reshape(-1, input.shape[-1])
    shares, chosen = _routes(router_probs, k, normalize_routing_weights)
    y = torch.zeros_like(tokens)
    for expert in range(router_probs.shape[-1]):
        rows, ranks = (chosen == expert).nonzero(as_tuple=True)
        x = tokens[rows]
        gate, up = _linear(x, fc1_experts_weights, fc1_experts_bias, expert), None
        if fc3_experts_weights is not None:
            up = _linear(x, fc3_experts_weights, fc3_experts_bias, expert)
        elif swiglu_fusion and activation_type in ("swiglu", "geglu"):
            gate, up = _halves(gate, is_interleaved=swiglu_fusion == 1)
        if activation_type == "swiglu" and up is not None:
            limits = swiglu_limit, swiglu_limit_after_activation
            hidden = _swiglu(gate, up, activation_alpha, activation_beta, *limits)
        else:
            hidden = _activated(gate, up, activation_type)
        z = _linear(hidden, fc2_experts_weights, fc2_experts_bias, expert)
        y = y.index_add(0, rows, z * shares[rows, ranks].unsqueeze(-1))
    return y.view_as(input)


def _routes(logits: Tensor, k: int, is_normalized: bool) -> tuple[Tensor, Tensor]:
    """Of each token, the shares and the numbers of its experts."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    shares, chosen = exact.softmax(-1).topk(k, -1)
    if is_normalized:
        shares = shares / shares.sum(-1, keepdim=True)
    return shares.to(logits.dtype), chosen


def _linear(x: Tensor, weights: Tensor, biases: Tensor | None, expert: int) -> Tensor:
    return F.linear(x, weights[expert], None if biases is None else biases[expert])


def _halves(both: Tensor, is_interleaved: bool) -> tuple[Tensor, Tensor]:
    """What is activated, and what it is multiplied with."""
    gate, up = both.unflatten(-1, (-1, 2)).unbind(-1) if is_interleaved else both.chunk(2, -1)
    return gate, up


def _swiglu(
    gate: Tensor, up: Tensor, alpha: float, beta: float, limit: float | None, is_after: bool
) -> Tensor:
    """`is_after` says that the activated gate is limited, not the gate."""
    if limit is None:
        return gate * torch.sigmoid(alpha * gate) * (up + beta)
    gate = gate if is_after else gate.clamp(max=limit)
    activated = gate * torch.sigmoid(alpha * gate)
    activated = activated.clamp(max=limit) if is_after else activated
    return activated * (up.clamp(-limit, limit) + beta)


def _activated(gate: Tensor, up: Tensor | None, activation: str) -> Tensor:
    name = "gelu" if activation == "geglu" else activation
    if name not in _ACTIVATIONS:
        raise ModelError(f"unknown activation {show(activation)}")
    y = _ACTIVATIONS[name](gate)
    return y if up is None else y * up
