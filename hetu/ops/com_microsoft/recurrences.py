"""Linear attention: layers that read a sequence into a state of fixed size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import pad_sequence

from hetu.errors import ModelError, show
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.quantized import wide
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What linear attention reads, a head per state and several queries per head.

    Queries are (batch, heads, queries, time, size), keys and values (batch, heads, time, size).
    Decays, in log space, are of size 1 or of the keys' size; rates are of size 1.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    decay: Tensor | None
    beta: Tensor | None

    def read(self, state: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Outputs; the states after each step, and what each step stored under its key.

        States are (batch, heads, keys' size, values' size).
        """
        outputs, states, stored = [], [], []
        for t in range(self.k.shape[2]):
            k, delta = self.k[:, :, t, :, None], self.v[:, :, t, None]
            if self.decay is not None:
                state = state * self.decay[:, :, t, :, None].exp()
            if self.beta is not None:
                rate = self.beta[:, :, t, :, None]
                delta = rate * (delta - k.transpose(-1, -2) @ state)
            state = state + k * delta
            outputs.append(self.q[:, :, :, t] @ state)
            states.append(state)
            stored.append(delta.squeeze(-2))
        empty = self.v.new_zeros(*self.q.shape[:4], self.v.shape[-1])
        return torch.stack(outputs, 3) if outputs else empty, states, stored


_BOUNDED = ("sigmoid", "kda")
_RULES = ("linear", "gated", "delta", "gated_delta")


def _gates(
    rule: str, decay: Tensor | None, beta: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """The gates that a rule has."""
    if rule not in _RULES:
        raise ModelError(f"update_rule {show(rule)} is none of {', '.join(_RULES)}")
    for name, gate in (("gated", decay), ("delta", beta)):
        if name in rule and gate is None:
            raise ModelError(f"update_rule {show(rule)} needs {'decay and ' * (gate is decay)}beta")
    return decay if "gated" in rule else None, beta if "delta" in rule else None


def _heads(x: Tensor, count: int) -> Tensor:
    """(batch, heads, time, size) of (batch, time, heads * size)."""
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


def _spread(x: Tensor, heads: int) -> Tensor:
    """As many heads as there are states."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], 1)


@op("LinearAttention", domain=DOMAIN)
def linear_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past_state: Any | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    state_window: int = 0,
    update_rule: str = "gated_delta",
) -> tuple[Tensor, Any]:
    decay, beta = _gates(update_rule, decay, beta)
    kind = wide(query)
    q, v = _heads(query.to(kind), q_num_heads), _heads(value.to(kind), kv_num_heads)
    k = _heads(key.to(kind), key.shape[-1] // q.shape[-1])
    k = _spread(k, kv_num_heads)
    q = q if q_num_heads > kv_num_heads else _spread(q, kv_num_heads)
    q = q.unflatten(1, (kv_num_heads, -1)) * (scale or 1 / math.sqrt(q.shape[-1]))
    decay = None if decay is None else _heads(decay.to(kind), kv_num_heads)
    beta = None if beta is None else _heads(beta.to(kind), beta.shape[-1])
    if past_state is None:
        state = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
    else:
        state = (past_state[-1] if state_window else past_state).to(kind)
    y, states, _ = _Sequence(q, k, v, decay, beta).read(state)
    present = trailing(states, state, state_window)
    present = present.to(query.dtype if past_state is None else past_state.dtype)
    return y.flatten(1, 2).transpose(1, 2).flatten(2).to(query.dtype), present


def trailing(states: Sequence[Tensor], first: Tensor, window: int) -> Tensor:
    """The last state or, if `window` is not 0, so many of them, zero where there are fewer."""
    if not window:
        return states[-1] if states else first
    missing = [torch.zeros_like(first)] * (window - len(states))
    return torch.stack([*missing, *states[-window:]])


@op("LinearAttentionGate", domain=DOMAIN)
def linear_attention_gate(
    a: Tensor, dt_bias: Tensor, decay_scale: Tensor, b: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    decay = decay_scale * F.softplus(a.to(wide(a)) + dt_bias)
    return decay.to(a.dtype), None if b is None else torch.sigmoid(b)


@op("GatedDeltaNet", domain=DOMAIN)
def gated_delta_net(
    query: Tensor, key: Tensor | None = None, value: Tensor | None = None,
    cu_seqlens: Ints | None = None, decay: Tensor | None = None, beta: Tensor | None = None,
    initial_state: Tensor | None = None, a_log: Tensor | None = None,
    dt_bias: Tensor | None = None, capture_count: Ints | None = None,
    state_update_active: bool = True, *,
    beta_activation: str = "none", chunk_size: int = 64, gate_activation: str = "none",
    gate_lower_bound: float = -5.0, qk_l2_norm: bool = False, scale: float = 0.0,
    state_update_capacity: int = 0, update_rule: str = "gated_delta",
) -> tuple[Tensor, Tensor | None, Tensor | None]:  # fmt: skip
    q, k, v = (x.float() for x in _tokens(query, key, value, initial_state))
    decay, beta = _gates(update_rule, decay, beta)
    if decay is not None:
        decay = decay.float().reshape(*v.shape[:-1], -1)
        decay = _decay(decay, gate_activation, gate_lower_bound, a_log, dt_bias)
    if beta is not None:
        beta = torch.sigmoid(beta.float()) if beta_activation == "sigmoid" else beta.float()
        beta = beta.reshape(*v.shape[:-1], 1)
    if qk_l2_norm:
        epsilon = 1e-6 if gate_activation in _BOUNDED else 1e-12  # as in ONNX Runtime
        q, k = (x * (x.square().sum(-1, keepdim=True) + epsilon).rsqrt() for x in (q, k))
    shape, lengths = v.shape, _lengths(v, cu_seqlens, initial_state)
    q = q * (scale or 1 / math.sqrt(q.shape[-1]))
    q, k, v = (_by_request(x, lengths) for x in (q, k, v))
    decay, beta = (None if x is None else _by_request(x, lengths) for x in (decay, beta))
    sequence, first = _arranged(q, k, v, decay, beta), initial_state
    if first is None:
        first = v.new_zeros(len(lengths), v.shape[-2], v.shape[-1], k.shape[-1])
    y, states, stored = sequence.read(first.transpose(-1, -2))
    y = y.flatten(1, 2).transpose(1, 2)
    y = torch.cat([y[i, :length] for i, length in enumerate(lengths)]).reshape(shape)
    final = states[-1].transpose(-1, -2) if states else first
    update = None
    if state_update_capacity and capture_count is not None:
        counts = capture_count if state_update_active else (0,) * len(lengths)
        factors = v.new_ones(v.shape[:3]) if decay is None else decay.exp()
        columns = factors, k, torch.stack(stored, 1)
        update = _captured(columns, counts, state_update_capacity)
    return y.to(query.dtype), final, update


def _tokens(
    query: Tensor, key: Tensor | None, value: Tensor | None, state: Tensor | None
) -> Sequence[Tensor]:
    """Queries, keys and values by heads; without keys, the queries hold all three in a row."""
    if key is not None and value is not None:
        return query, key, value
    if state is None:
        raise ModelError("queries, keys and values in one need an initial_state")
    heads, value_size, size = state.shape[1:]
    keys = (query.shape[-1] - heads * value_size) // 2
    q, k, v = query.split([keys, keys, heads * value_size], -1)
    return q.unflatten(-1, (-1, size)), k.unflatten(-1, (-1, size)), v.unflatten(-1, (heads, -1))


def _decay(
    decay: Tensor, activation: str, lowest: float, a_log: Tensor | None, dt_bias: Tensor | None
) -> Tensor:
    """The decay in log space, of what was projected to it: (..., heads, 1 or the keys' size)."""
    if activation == "none":
        return decay
    if a_log is None or dt_bias is None:
        raise ModelError("gate_activation needs a_log and dt_bias")
    biased, rate = decay + dt_bias.reshape(decay.shape[-2], -1), a_log.exp().unsqueeze(-1)
    if activation in ("softplus", "qwen"):
        return -rate * F.softplus(biased)
    if activation in _BOUNDED:
        return lowest * torch.sigmoid(rate * biased)
    raise ModelError(f"unknown gate_activation {show(activation)}")


def _lengths(v: Tensor, ends: Ints | None, state: Tensor | None) -> list[int]:
    """How many tokens each request has."""
    if ends is not None:
        return [b - a for a, b in pairwise(ends)]
    if state is None and v.ndim < 4:
        raise ModelError("without cu_seqlens and initial_state, the number of requests is unknown")
    count = len(v) if state is None else len(state)
    return [v.flatten(0, -3).shape[0] // count] * count


def _by_request(x: Tensor, lengths: list[int]) -> Tensor:
    """(requests, time, heads, size) of tokens in a row, padded with zeros, which change nothing."""
    return pad_sequence(list(x.flatten(0, -3).split(lengths)), batch_first=True)


def _arranged(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, beta: Tensor | None
) -> _Sequence:
    """The sequence of (batch, time, heads, size), its queries and keys shared by several heads."""
    heads = v.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    decay, beta = (None if x is None else x.transpose(1, 2) for x in (decay, beta))
    return _Sequence(_spread(q, heads).unsqueeze(2), _spread(k, heads), v, decay, beta)


def _captured(columns: Sequence[Tensor], counts: Ints, capacity: int) -> Tensor:
    """The first steps of each request, one column (requests, time, ...) behind the other."""
    steps = torch.arange(capacity, device=columns[0].device)
    is_captured = steps < torch.tensor(counts, device=steps.device)[:, None]
    rows = [F.pad(x.flatten(2), (0, 0, 0, capacity))[:, :capacity] for x in columns]
    return torch.cat([(x * is_captured[..., None]).flatten(1) for x in rows], -1)
