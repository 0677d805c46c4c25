"""Mixtures of experts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.convert import widen
from hetu.errors import ModelError, UnsupportedError, show
from hetu.ops.com_microsoft.packing import unpacked
from hetu.ops.kinds import Any, Tensor
from hetu.ops.quantized import number, wide
from hetu.ops.registry import op

DOMAIN = "com.microsoft"

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu2": lambda x: torch.relu(x).square(),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "identity": lambda x: x,
}

Layer = Callable[[Tensor, int], Tensor]
"""What the expert with a number makes of tokens."""


@op("MoE", domain=DOMAIN)
def moe(
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
    activation = _Activation(
        activation_type, swiglu_fusion, activation_alpha, activation_beta, swiglu_limit,
        swiglu_limit_after_activation,
    )  # fmt: skip
    fc3 = None
    if fc3_experts_weights is not None:
        fc3 = _linear(fc3_experts_weights, fc3_experts_bias)
    expert = _expert(
        _linear(fc1_experts_weights, fc1_experts_bias),
        _linear(fc2_experts_weights, fc2_experts_bias), fc3, activation,
    )  # fmt: skip
    return _mixed(input, _routes(router_probs, None, k, normalize_routing_weights), expert)


def _linear(weights: Tensor, biases: Tensor | None) -> Layer:
    return lambda x, i: F.linear(x, weights[i], None if biases is None else biases[i])


@dataclass(frozen=True, slots=True)
class _Activation:
    """What is between the layers of an expert.

    `is_late` says that the activated gate is limited, not the gate.
    """

    kind: str
    fusion: int
    alpha: float
    beta: float
    limit: float | None
    is_late: bool

    def halves(self, both: Tensor) -> tuple[Tensor, Tensor | None]:
        """What is activated and what it is multiplied with, where one layer computes both."""
        if not self.fusion or self.kind not in ("swiglu", "geglu"):
            return both, None
        gate, up = both.unflatten(-1, (-1, 2)).unbind(-1) if self.fusion == 1 else both.chunk(2, -1)
        return gate, up

    def __call__(self, gate: Tensor, up: Tensor | None) -> Tensor:
        if self.kind == "swiglu" and up is not None:
            return self._swiglu(gate, up)
        name = "gelu" if self.kind == "geglu" else self.kind
        if name not in _ACTIVATIONS:
            raise ModelError(f"unknown activation {show(self.kind)}")
        y = _ACTIVATIONS[name](gate)
        return y if up is None else y * up

    def _swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        limit = self.limit
        if limit is None:
            return gate * torch.sigmoid(self.alpha * gate) * (up + self.beta)
        gate = gate if self.is_late else gate.clamp(max=limit)
        activated = gate * torch.sigmoid(self.alpha * gate)
        activated = activated.clamp(max=limit) if self.is_late else activated
        return activated * (up.clamp(-limit, limit) + self.beta)


def _expert(fc1: Layer, fc2: Layer, fc3: Layer | None, activation: _Activation) -> Layer:
    def run(x: Tensor, i: int) -> Tensor:
        gate, up = activation.halves(fc1(x, i)) if fc3 is None else (fc1(x, i), fc3(x, i))
        return fc2(activation(gate, up), i)

    return run


def _routes(
    logits: Tensor, weights: Tensor | None, k: int, is_normalized: bool
) -> tuple[Tensor, Tensor]:
    """Of each token, the shares of all experts, zero but for those chosen, and who is chosen."""
    shares = logits.to(wide(logits)).softmax(-1)
    _, chosen = shares.topk(k, -1)
    shares = (shares if weights is None else weights.to(shares.dtype)).gather(-1, chosen)
    if is_normalized:
        shares = shares / shares.sum(-1, keepdim=True)
    return shares.to(logits.dtype), chosen


def _mixed(input: Tensor, routes: tuple[Tensor, Tensor], expert: Layer) -> Tensor:
    """The sum of what a token's experts make of it, by their shares."""
    tokens, (shares, chosen) = input.reshape(-1, input.shape[-1]), routes
    y = torch.zeros_like(tokens)
    for i in chosen.unique().tolist():
        rows, ranks = (chosen == i).nonzero(as_tuple=True)
        z = expert(tokens[rows], i)
        y = y.index_add(0, rows, (z * shares[rows, ranks].unsqueeze(-1)).to(y.dtype))
    return y.view_as(input)


@dataclass(frozen=True, slots=True)
class _Quantized:
    """The weights of a layer of all experts in few bits.

    Scales are (experts, outputs), or (experts, outputs, blocks) with `block` inputs each, and with
    8-bit floats (experts, blocks, blocks) or (experts,). Zero points are packed like weights.
    """

    weights: Tensor
    scales: Tensor | None
    zero_points: Tensor | None
    biases: Tensor | None
    bits: int
    block: int

    def __call__(self, x: Tensor, i: int) -> Tensor:
        weight = self._matrix(i)[:, : x.shape[-1]].to(x.dtype)
        return F.linear(x, weight, None if self.biases is None else self.biases[i])

    def _matrix(self, i: int) -> Tensor:
        if self.scales is None:
            raise ModelError("quantized experts have no scales")
        scale = self.scales[i].to(wide(self.scales))
        if self.weights.dtype is not torch.uint8:
            return self._floats(i, scale)
        codes = unpacked(self.weights[i], self.bits)
        zero: Tensor | int = 1 << (self.bits - 1)
        if self.zero_points is not None:
            zero = unpacked(self.zero_points[i], self.bits)
            zero = zero if scale.ndim == 2 else zero[: len(scale), None]
        if scale.ndim == 1:
            return (codes - zero) * scale.unsqueeze(-1)
        columns = torch.arange(codes.shape[1], device=codes.device) // self.block
        columns = columns.clamp(max=scale.shape[1] - 1)
        zero = zero if isinstance(zero, int) else zero[:, columns]
        return (codes - zero) * scale[:, columns]

    def _floats(self, i: int, scale: Tensor) -> Tensor:
        numbers = number(widen(self.weights[i]))
        if self.block <= 0:
            return numbers * scale
        spread = scale.repeat_interleave(self.block, 0).repeat_interleave(self.block, 1)
        return numbers * spread[: len(numbers), : numbers.shape[1]]


@op(
    "QMoE", domain=DOMAIN,
    fixed=(
        "fc1_scales", "fc2_scales", "fc3_scales", "fc1_zero_points", "fc2_zero_points",
        "fc3_zero_points", "fc1_global_scale", "fc2_global_scale", "fc1_act_scale",
        "fc2_act_scale", "fc1_act_block_scale", "fc2_act_block_scale",
    ),
)  # fmt: skip
def q_moe(
    input: Tensor, router_probs: Tensor, fc1_experts_weights: Any, fc1_scales: Any | None,
    fc1_experts_bias: Tensor | None, fc2_experts_weights: Any, fc2_scales: Any | None = None,
    fc2_experts_bias: Tensor | None = None, fc3_experts_weights: Any | None = None,
    fc3_scales: Any | None = None, fc3_experts_bias: Tensor | None = None,
    fc1_zero_points: Any | None = None, fc2_zero_points: Any | None = None,
    fc3_zero_points: Any | None = None, router_weights: Tensor | None = None,
    fc1_global_scale: Tensor | None = None, fc2_global_scale: Tensor | None = None,
    fc1_act_scale: Tensor | None = None, fc2_act_scale: Tensor | None = None,
    fc1_act_block_scale: Any | None = None, fc2_act_block_scale: Any | None = None, *,
    accuracy_level: int = 0, activation_alpha: float = 1.0, activation_beta: float = 0.0,
    activation_type: str = "relu", block_size: int = 0, expert_weight_bits: int = 4,
    fc1_expert_weight_bits: int | None = None, fc2_expert_weight_bits: int | None = None,
    fc3_expert_weight_bits: int | None = None, k: int = 1,
    normalize_routing_weights: bool = False, quant_type: str = "int", swiglu_fusion: int = 0,
    swiglu_limit: float | None = None, swiglu_limit_after_activation: bool = False,
    use_sparse_mixer: bool = False, weights_prepacked: int = -1,
) -> Tensor:  # fmt: skip
    if use_sparse_mixer or weights_prepacked == 1 or quant_type not in ("int", "fp8"):
        raise UnsupportedError("com.microsoft.QMoE with sparse mixers, packed weights or fp4")
    fc1 = _Quantized(
        fc1_experts_weights, fc1_scales if fc1_global_scale is None else fc1_global_scale,
        fc1_zero_points, fc1_experts_bias, fc1_expert_weight_bits or expert_weight_bits, block_size,
    )  # fmt: skip
    fc2 = _Quantized(
        fc2_experts_weights, fc2_scales if fc2_global_scale is None else fc2_global_scale,
        fc2_zero_points, fc2_experts_bias, fc2_expert_weight_bits or expert_weight_bits, block_size,
    )  # fmt: skip
    fc3 = None if fc3_experts_weights is None else _Quantized(
        fc3_experts_weights, fc3_scales, fc3_zero_points, fc3_experts_bias,
        fc3_expert_weight_bits or expert_weight_bits, block_size,
    )  # fmt: skip
    activation = _Activation(
        activation_type, swiglu_fusion, activation_alpha, activation_beta, swiglu_limit,
        swiglu_limit_after_activation,
    )  # fmt: skip
    # ONNX Runtime takes the softmax of those chosen only
    is_normalized = normalize_routing_weights or router_weights is None
    routes = _routes(router_probs, router_weights, k, is_normalized)
    return _mixed(input, routes, _expert(fc1, fc2, fc3, activation))


@op("MoEGroupRouter", domain=DOMAIN, fixed=("expert_bias",))
def moe_group_router(
    logits: Tensor,
    expert_bias: Tensor,
    projection_weight: Tensor | None = None,
    *,
    group_topk: int = 2,
    n_group: int = 1,
    router_sentinel: float = -10000.0,
    top_k: int,
    topk_group: int = 1,
) -> tuple[Tensor | None, Any | None, Any | None]:
    x = logits.flatten(0, -2).float()
    shares = torch.sigmoid(x if projection_weight is None else x @ projection_weight.float().t())
    scores = shares + expert_bias
    groups = scores.unflatten(-1, (n_group, -1))
    best = groups.topk(min(group_topk, groups.shape[-1]), -1).values.sum(-1)
    chosen = best.topk(topk_group, -1).indices
    is_open = torch.zeros_like(best, dtype=torch.bool).scatter(-1, chosen, True)
    open_scores = groups.masked_fill(~is_open.unsqueeze(-1), -torch.inf).flatten(1)
    places = open_scores.topk(top_k, -1).indices
    logs = shares.clamp(min=1e-20).log()
    probs = torch.full_like(logs, router_sentinel).scatter(-1, places, logs.gather(-1, places))
    return probs.to(logits.dtype), scores, shares
