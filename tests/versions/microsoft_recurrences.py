"""Calls of linear attention, causal convolutions and hashes of n-grams."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

DOMAIN = "com.microsoft"
RULES = ("linear", "gated", "delta", "gated_delta")


def unit(random: Random, *shape: int) -> np.ndarray:
    """Vectors of length 1."""
    x = random.floats(*shape)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


@example("LinearAttention", domain=DOMAIN)
def linear_attention(random: Random, version: int) -> Call:
    batch, length = random.integer(1, 3), random.integer(1, 5)
    heads, kv_heads = random.choice((1, 1), (2, 2), (4, 2), (1, 3), (2, 4))
    size, value_size = random.integer(1, 4), random.integer(1, 4)
    rule = random.choice(*RULES)
    key_heads = random.choice(kv_heads, min(heads, kv_heads))
    decay_size = kv_heads * random.choice(1, size)
    decay = random.floats(batch, length, decay_size, low=-2, high=0)
    beta = random.floats(batch, length, random.choice(1, kv_heads), low=0, high=1)
    inputs = [
        random.floats(batch, length, heads * size),
        unit(random, batch, length, key_heads, size).reshape(batch, length, -1),
        random.floats(batch, length, kv_heads * value_size),
        random.choice(None, random.floats(batch, kv_heads, size, value_size)),
        decay if "gated" in rule else None,
        beta if "delta" in rule else None,
    ]
    attributes: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": kv_heads}
    attributes |= {"update_rule": rule} | random.choice({}, {"scale": 0.3})
    return Call(inputs, attributes, outputs=2)


@example("LinearAttentionGate", domain=DOMAIN)
def linear_attention_gate(random: Random, version: int) -> Call:
    dims = random.shape(3)
    dtype = random.choice(np.float32, np.float16)
    b = random.choice(None, random.floats(*dims, dtype=dtype))
    inputs = [random.floats(*dims, dtype=dtype), *(random.floats(dims[-1]) for _ in range(2)), b]
    tolerance = 1e-3 if dtype is np.float16 else 1e-5
    return Call(inputs, outputs=1 if b is None else 2, rtol=tolerance, atol=tolerance)


@example("GatedDeltaNet", domain=DOMAIN)
def gated_delta_net(random: Random, version: int) -> Call:
    lengths = [random.integer(1, 4) for _ in range(random.integer(1, 3))]
    is_ragged = random.choice(True, False)
    lengths = lengths if is_ragged else [lengths[0]] * len(lengths)
    heads, groups, size, value_size = (random.integer(1, 3) for _ in range(4))
    count, value_heads = sum(lengths), heads * groups
    rule = random.choice(*RULES)
    q, k = random.floats(count, heads, size), unit(random, count, heads, size)
    v = random.floats(count, value_heads, value_size)
    state = random.floats(len(lengths), value_heads, value_size, size)
    tokens: list[Any] = [q, k, v]
    form = random.choice("plain", "packed", "plain" if is_ragged else "batch")
    if form == "packed":
        tokens = [np.concatenate([x.reshape(count, -1) for x in tokens], -1), None, None]
    elif form == "batch":
        tokens = [x.reshape(len(lengths), lengths[0], *x.shape[1:]) for x in tokens]
    lead = tokens[0].shape[:2] if form == "batch" else (count,)
    width = random.choice((), (size,))
    decay = random.floats(*lead, value_heads, *width, low=-2, high=0)
    beta = random.floats(*lead, value_heads, low=0, high=1)
    attributes: dict[str, Any] = {"update_rule": rule} | random.choice({}, {"scale": 0.3})
    attributes |= random.choice({}, {"qk_l2_norm": 1}, {"beta_activation": "sigmoid"})
    if "gated" in rule:
        kind = random.choice("none", "softplus", "kda")
        attributes |= {"gate_activation": kind} if kind != "none" else {}
    is_activated = "gate_activation" in attributes
    a_log = random.floats(value_heads, low=-1, high=1) if is_activated else None
    bias = random.floats(value_heads, *random.choice((), width)) if is_activated else None
    counts, capacity = None, random.choice(0, 3)
    if capacity and form != "batch":
        # what is beyond the captured steps is not specified
        counts, attributes["state_update_capacity"] = np.array(lengths, np.int32), min(lengths)
    inputs = [
        *tokens,
        np.cumsum([0, *lengths]).astype(np.int32) if is_ragged else None,
        decay if "gated" in rule else None,
        beta if "delta" in rule else None,
        state if form == "packed" or not is_ragged else random.choice(None, state),
        a_log,
        bias,
        counts,
    ]
    return Call(inputs, attributes, outputs=2 if counts is None else 3)


@example("CausalConvWithState", domain=DOMAIN)
def causal_conv_with_state(random: Random, version: int) -> Call:
    batch, channels, length, taps = (random.integer(1, 4) for _ in range(4))
    attributes: dict[str, Any] = {"dilation": random.integer(1, 2)}
    attributes |= random.choice({}, {"activation": random.choice("silu", "swish", "none")})
    reach = (taps - 1) * attributes["dilation"]
    x, state = random.floats(batch, channels, length), random.floats(batch, channels, reach)
    if random.choice(True, False):
        attributes["channels_last"] = 1
        width = random.choice((channels,), (channels, 1))
        x, state = (
            np.ascontiguousarray(part.transpose(0, 2, 1)).reshape(batch, -1, *width)
            for part in (x, state)
        )
    bias = random.choice(None, random.floats(channels))
    state = state if reach and random.choice(True, False) else None
    return Call([x, random.floats(channels, 1, taps), bias, state], attributes, outputs=2)


@example("VarlenCausalConvWithState", domain=DOMAIN)
def varlen_causal_conv_with_state(random: Random, version: int) -> Call:
    lengths = [random.integer(1, 5) for _ in range(random.integer(1, 3))]
    channels, taps, capacity = random.integer(1, 4), random.integer(2, 4), random.choice(0, 3)
    attributes: dict[str, Any] = {"dilation": random.integer(1, 2)}
    attributes |= random.choice({}, {"activation": random.choice("silu", "swish", "none")})
    attributes |= {"state_update_capacity": capacity} if capacity else {}
    counts = random.integers(len(lengths), low=0, high=6, dtype=np.int32)
    inputs = [
        random.floats(sum(lengths), channels),
        random.floats(channels, 1, taps),
        np.cumsum([0, *lengths]).astype(np.int32),
        random.choice(None, random.floats(channels)),
        random.floats(len(lengths), channels, (taps - 1) * attributes["dilation"]),
        counts if capacity else None,
    ]
    return Call(inputs, attributes, outputs=3 if capacity else 2)


def hashing(random: Random, dtype: Any) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """The attributes of a hash of n-grams, and its inputs before and after the past tokens."""
    longest, heads = random.integer(2, 4), random.integer(1, 3)
    attributes = {"max_ngram_size": longest, "n_head_per_ngram": heads, "pad_id": -7}
    outputs = (longest - 1) * heads
    factors = random.integers(longest, low=-(2**30), high=2**30, dtype=dtype)
    sizes = random.integers(outputs, low=1, high=50, dtype=dtype)
    offsets = random.choice(None, random.integers(outputs, low=0, high=99, dtype=dtype))
    eos = random.choice(None, np.array(2, dtype))
    attributes |= {"reset_on_eos": random.integer(0, 1)}
    return attributes, [factors, sizes], [offsets, eos]


@example("NGramHashMapping", domain=DOMAIN)
def n_gram_hash_mapping(random: Random, version: int) -> Call:
    dtype, batch, length = random.choice(np.int32, np.int64), random.integer(1, 3), 6
    attributes, before, after = hashing(random, dtype)
    width = attributes["max_ngram_size"] - 1
    ids = random.integers(batch, random.integer(1, length), low=0, high=4, dtype=dtype)
    past = random.choice(None, random.integers(batch, width, low=0, high=4, dtype=dtype))
    segments = random.integers(*ids.shape, low=0, high=1, dtype=np.int32)
    inputs = [ids, *before, past, *after, random.choice(None, segments)]
    return Call(inputs, attributes, outputs=2)


@example("VarlenNGramHashMapping", domain=DOMAIN)
def varlen_n_gram_hash_mapping(random: Random, version: int) -> Call:
    dtype = random.choice(np.int32, np.int64)
    lengths = [random.integer(1, 5) for _ in range(random.integer(1, 3))]
    attributes, before, after = hashing(random, dtype)
    width, batch = attributes["max_ngram_size"] - 1, len(lengths)
    ids = random.integers(sum(lengths), low=0, high=4, dtype=dtype)
    past = random.choice(None, random.integers(batch, width, low=0, high=4, dtype=dtype))
    counts = random.integers(batch, low=0, high=6, dtype=np.int32)
    ends = np.cumsum([0, *lengths]).astype(np.int32)
    inputs = [ids, *before, ends, past, *after]
    if random.integer(0, 2) == 0:
        return Call(inputs, attributes, outputs=2)
    segments = random.integers(len(ids), low=0, high=1, dtype=np.int32)
    old_segments = random.integers(batch, width, low=0, high=1, dtype=np.int32)
    old_segments = None if past is None else random.choice(None, old_segments)
    attributes |= {"state_update_capacity": 3}
    return Call([*inputs, segments, old_segments, counts], attributes, outputs=4)


@example("AttnLSTM", domain=DOMAIN)
def attn_lstm(random: Random, version: int) -> Call:
    steps, batch, inputs, hidden, places = (random.integer(1, 4) for _ in range(5))
    depth, size = random.integer(1, 4), random.integer(1, 4)
    direction = random.choice("forward", "reverse", "bidirectional")
    directions = 2 if direction == "bidirectional" else 1
    width = random.choice(None, random.integer(1, 4))  # of the attention's own layer

    def weights(*shape: int) -> np.ndarray:
        return random.floats(directions, *shape, low=-1, high=1)

    lengths = random.integers(batch, low=1, high=steps, dtype=np.int32)
    ends = random.integers(batch, low=1, high=places, dtype=np.int32)
    inputs_ = [
        random.floats(steps, batch, inputs),
        weights(4 * hidden, inputs + (width or depth)),
        weights(4 * hidden, hidden),
        random.choice(None, weights(8 * hidden)),
        random.choice(None, lengths),
        *(random.choice(None, weights(batch, hidden)) for _ in range(2)),
        random.choice(None, weights(3 * hidden)),
        weights(hidden, size),
        weights(depth, size),
        weights(size),
        random.floats(batch, places, depth),
        random.choice(None, ends),
        weights(depth + hidden, width) if width else None,
    ]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    attributes |= random.choice({}, {"clip": 0.7}, {"input_forget": 1})
    return Call(inputs_, attributes, outputs=3)
