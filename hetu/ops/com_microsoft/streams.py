"""Gates, branches and residual streams, in float32 at least and rounded where the schemas say."""

import math

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError, show
from hetu.ops.kinds import Tensor
from hetu.ops.quantized import wide
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


def _normalized(x: Tensor, epsilon: float) -> Tensor:
    """The last axis divided by its root mean square, in float32 at least."""
    return F.rms_norm(x.to(wide(x)), x.shape[-1:], eps=epsilon)


def _branches(x: Tensor, count: int) -> Tensor:
    """(..., branches, size) of (..., branches * size), where `count` says that it is flat."""
    return x.unflatten(-1, (count, -1)) if count else x


@op("BranchwiseRMSNorm", domain=DOMAIN)
def branchwise_rms_norm(
    x: Tensor, scale: Tensor | None = None, *, epsilon: float = 1e-5, num_branches: int = 0
) -> Tensor:
    branches = _branches(x, num_branches)
    y = _normalized(branches, epsilon)
    if scale is not None:
        is_shared = scale.numel() == branches.shape[-1]
        y = y * (scale if is_shared else scale.reshape(branches.shape[-2:]))
    return y.to(x.dtype).reshape(x.shape)


@op("GatedRMSNorm", domain=DOMAIN)
def gated_rms_norm(
    x: Tensor, scale: Tensor, gate: Tensor, *, activation: str = "silu", epsilon: float = 1e-5
) -> Tensor:
    if activation not in ("silu", "swish", "sigmoid"):
        raise ModelError(f"unknown activation {show(activation)}")
    activate = torch.sigmoid if activation == "sigmoid" else F.silu
    y = (_normalized(x.unflatten(-1, (-1, len(scale))), epsilon) * scale).reshape(x.shape)
    return (y * activate(gate.to(y.dtype))).to(x.dtype)


@op("GatedAdd", domain=DOMAIN)
def gated_add(x: Tensor, y: Tensor, gate: Tensor, gate_weight: Tensor | None = None) -> Tensor:
    if gate_weight is not None:
        gate = torch.sigmoid(gate @ gate_weight)
    return x + y * gate


@op("EngramGate", domain=DOMAIN)
def engram_gate(
    key: Tensor,
    query: Tensor,
    value: Tensor,
    key_norm_scale: Tensor,
    query_norm_scale: Tensor,
    conv_norm_scale: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor | None]:
    keys = _normalized(key, epsilon) * key_norm_scale
    queries = _normalized(query, epsilon) * query_norm_scale
    products = (keys * queries).sum(-1, keepdim=True) / math.sqrt(key.shape[-1])
    gate = torch.sigmoid(products.sign() * products.abs().clamp(min=1e-6).sqrt())
    gated = gate * value.unsqueeze(-2)
    y = gated.to(value.dtype)
    if conv_norm_scale is None:
        return y, None
    return y, (_normalized(gated, epsilon) * conv_norm_scale).to(value.dtype)


@op("HyperConnectionPreMix", domain=DOMAIN)
def hyper_connection_pre_mix(
    streams: Tensor, pre_mix: Tensor, *, num_branches: int = 0, reduction_scale: float = 1.0
) -> Tensor:
    x = _branches(streams, num_branches)
    mix = _beside(x, pre_mix)
    return (reduction_scale * (x.to(wide(x)) * mix).sum(-2)).to(x.dtype)


@op("HyperConnectionPostMix", domain=DOMAIN)
def hyper_connection_post_mix(
    streams: Tensor,
    block_output: Tensor,
    post_mix: Tensor,
    stream_mix: Tensor | None = None,
    *,
    num_branches: int = 0,
) -> Tensor:
    x = _branches(streams, num_branches).to(wide(streams))
    added = _beside(x, post_mix) * block_output.unsqueeze(-2)
    mixed = x if stream_mix is None else stream_mix.to(x.dtype).transpose(-1, -2) @ x
    return (mixed + added).to(streams.dtype).reshape(streams.shape)


def _beside(x: Tensor, mix: Tensor) -> Tensor:
    """Factors beside (..., branches, size): one for each branch or for each number."""
    if mix.ndim == x.ndim:
        return mix.to(x.dtype)
    branches = x.shape[-2]
    is_per_branch = mix.shape[-1] == branches
    return (mix.unsqueeze(-1) if is_per_branch else mix.unflatten(-1, (branches, -1))).to(x.dtype)


@op("HyperConnectionLowRankMix", domain=DOMAIN)
def hyper_connection_low_rank_mix(
    streams: Tensor, norm_scale: Tensor, down_weight: Tensor, up_weight: Tensor,
    inject_weight: Tensor, prev_block_output: Tensor | None = None,
    prev_post_gate: Tensor | None = None, *,
    epsilon: float = 1e-5, gate_div: float = 1.0, gate_mul: float = 1.0, num_branches: int,
    reduction_scale: float = 1.0, silu_alpha: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    if prev_block_output is not None and prev_post_gate is not None:
        streams = hyper_connection_post_mix(
            streams, prev_block_output, prev_post_gate, num_branches=num_branches
        )
    normed = branchwise_rms_norm(streams, norm_scale, epsilon=epsilon, num_branches=num_branches)
    hidden = scaled_si_lu(normed @ down_weight, alpha=silu_alpha)
    gates = torch.sigmoid(hidden @ up_weight)
    options = {"num_branches": num_branches, "reduction_scale": reduction_scale}
    y = hyper_connection_pre_mix(normed, _branches(gates, num_branches), **options)
    post_gate = torch.sigmoid(normed @ inject_weight / gate_div) * gate_mul
    return y, post_gate, streams


@op("ScaledSiLU", domain=DOMAIN)
def scaled_si_lu(x: Tensor, scale: Tensor | None = None, *, alpha: float = 1.0) -> Tensor:
    z = x * (alpha if scale is None else scale.reshape(()))
    return z * torch.sigmoid(z)


@op("SwiGLU", domain=DOMAIN)
def swi_glu(
    gate: Tensor,
    up: Tensor | None = None,
    *,
    activation_alpha: float = 1.0,
    activation_beta: float = 0.0,
    limit: float = 0.0,
    round_activation: bool = False,
) -> Tensor:
    gates, linear = gate.chunk(2, -1) if up is None else (gate, up)
    exact, linear = gates.to(wide(gate)), linear.to(wide(gate))
    if limit > 0:
        exact, linear = exact.clamp(max=limit), linear.clamp(-limit, limit)
    activated = exact * torch.sigmoid(activation_alpha * exact)
    if round_activation:
        activated = activated.to(gate.dtype).to(exact.dtype)
    return (activated * (linear + activation_beta)).to(gate.dtype)


@op("RouterGateUpProj", domain=DOMAIN)
def router_gate_up_proj(
    x: Tensor,
    w: Tensor,
    *,
    activation: str = "swiglu",
    activation_alpha: float = 1.0,
    activation_beta: float = 0.0,
    limit: float = 0.0,
    router_size: int,
) -> tuple[Tensor, Tensor]:
    if activation != "swiglu":
        raise ModelError(f"unknown activation {show(activation)}")
    y = x @ w
    activated = swi_glu(
        y[..., router_size:], activation_alpha=activation_alpha, activation_beta=activation_beta,
        limit=limit,
    )  # fmt: skip
    return y[..., :router_size], activated
