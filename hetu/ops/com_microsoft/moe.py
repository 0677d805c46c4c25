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
    limit = torch.inf if swiglu_limit is None else swiglu_limit
    tokens = input.reshape(-1, input.shape[-1])
    shares, chosen = _routes(router_probs, k, normalize_routing_weights)
    y = torch.zeros_like(tokens)
    for expert in range(router_probs.shape[-1]):
        rows, ranks = (chosen == expert).nonzero(as_tuple=True)
        x = tokens[rows]
        hidden = _linear(x, fc1_experts_weights, fc1_experts_bias, expert)
        up = None
        if fc3_experts_weights is not None:
            up = _linear(x, fc3_experts_weights, fc3_experts_bias, expert)
        gate, up = _halves(hidden, up, activation_type, swiglu_fusion)
        if activation_type == "swiglu" and up is not None:
            parts = gate, up, activation_alpha, activation_beta, limit
            hidden = _swiglu(*parts, swiglu_limit_after_activation)
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


def _halves(
    hidden: Tensor, up: Tensor | None, activation: str, fusion: int
) -> tuple[Tensor, Tensor | None]:
    """What is activated and what it is multiplied with; `fusion` says how both lie in one."""
    if activation not in ("swiglu", "geglu") or not fusion:
        return hidden, up
    if fusion == 1:
        gate, up = hidden.unflatten(-1, (-1, 2)).unbind(-1)
    else:
        gate, up = hidden.chunk(2, -1)
    return gate, up


def _swiglu(
    gate: Tensor, up: Tensor, alpha: float, beta: float, limit: float, is_limited_after: bool
) -> Tensor:
    gate = gate if is_limited_after else gate.clamp(max=limit)
    activated = gate * torch.sigmoid(alpha * gate)
    if is_limited_after:
        activated = activated.clamp(max=limit)
    return activated * (up.clamp(-limit, limit) + beta)


def _activated(gate: Tensor, up: Tensor | None, activation: str) -> Tensor:
    name = "gelu" if activation == "geglu" else activation
    if name not in _ACTIVATIONS:
        raise ModelError(f"unknown activation {show(activation)}")
    y = _ACTIVATIONS[name](gate)
    return y if up is None else y * up
