"""Calls of ONNX Runtime's attention operators and of its mixture of experts."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

DOMAIN = "com.microsoft"


def padding(random: Random, batch: int, length: int, total: int) -> np.ndarray | None:
    """A mask in one of its forms, or None; some key is left to every query."""
    ends = random.integers(batch, low=1, high=total, dtype=np.int32)
    full = random.integers(batch, total, low=0, high=1, dtype=np.int32)
    pairs = random.integers(batch, length, total, low=0, high=1, dtype=np.int32)
    full[:, 0] = pairs[..., 0] = 1
    starts = np.minimum(ends - 1, random.integers(batch, low=0, high=2, dtype=np.int32))
    return random.choice(None, ends, np.concatenate([ends, starts]), full, pairs)


def bias(random: Random, *dims: int) -> np.ndarray | None:
    """Something to add to the scores, or None."""
    batch, heads, *rest = dims
    shape = random.choice((batch, heads), (1, heads), (batch, 1), (1, 1))
    return random.choice(None, random.floats(*shape, *rest))


@example("Attention", domain=DOMAIN)
def attention(random: Random, version: int) -> Call:
    batch, length, heads = random.integer(1, 3), random.integer(1, 4), random.integer(1, 3)
    size = value_size = heads * random.integer(1, 4)
    past = random.choice(0, random.integer(1, 3))
    attributes: dict[str, Any] = {"num_heads": heads} | random.choice({}, {"scale": 0.3})
    attributes |= random.choice({}, {"unidirectional": 1}) | random.choice(
        {}, {"mask_filter_value": -3e38}
    )
    if not past and random.choice(True, False):
        value_size = heads * random.integer(1, 4)
        attributes["qkv_hidden_sizes"] = [size, size, value_size]
    inputs = [
        random.floats(batch, length, 5),
        random.floats(5, 2 * size + value_size, low=-1, high=1),
        random.choice(None, random.floats(2 * size + value_size)),
        padding(random, batch, length, past + length),
        random.floats(2, batch, heads, past, size // heads) if past else None,
        None if past else bias(random, batch, heads, length, length),  # it takes one of both
    ]
    return Call(inputs, attributes, outputs=2 if past else 1)


def shared_cache(random: Random) -> Call:
    """One token of each beam, behind a cache of a size of its own."""
    batch, beams, heads, size, past = (random.integer(1, 3) for _ in range(5))
    rows, longest = batch * beams, past + random.integer(1, 3)
    origins = random.integers(batch, beams, longest, low=0, high=beams - 1, dtype=np.int32)
    origins[..., past] = np.arange(beams)  # each beam's own new token
    mask = np.concatenate(
        [np.ones((rows, 1)), random.integers(rows, past, low=0, high=1)], -1
    ).astype(np.int32)
    inputs = [
        *(random.floats(rows, 1, heads * size) for _ in range(3)),
        random.choice(None, random.floats(3 * heads * size)),
        random.choice(None, mask),
        random.choice(None, random.floats(1, heads, 1, past + 1)),
        *(random.floats(rows, heads, longest, size) for _ in range(2)),
        np.array([past], np.int32),
        random.choice(None, origins),
    ]
    return Call(inputs, {"num_heads": heads}, outputs=3)


@example("MultiHeadAttention", domain=DOMAIN)
def multi_head_attention(random: Random, version: int) -> Call:
    if random.integer(0, 3) == 0:
        return shared_cache(random)
    batch, length, heads = random.integer(1, 3), random.integer(1, 4), random.integer(1, 3)
    size, past = random.integer(1, 4), random.choice(0, random.integer(1, 3))
    form = random.choice("plain", "plain", "by heads")
    past = 0 if form == "by heads" else past
    keys = length if past else random.integer(1, 4)
    value_size = size if past or form == "by heads" else random.integer(1, 4)
    widths = (size, size, value_size)
    key, value = random.floats(batch, keys, heads * size), None
    value = random.floats(batch, keys, heads * value_size)
    if form == "by heads":
        key, value = (x.reshape(batch, keys, heads, -1).swapaxes(1, 2) for x in (key, value))
    attributes: dict[str, Any] = {"num_heads": heads} | random.choice({}, {"scale": 0.3})
    is_causal = keys == length and random.choice(True, False)
    attributes |= {"unidirectional": 1} if is_causal else {}
    inputs = [
        random.floats(batch, length, heads * size),
        key,
        value,
        random.floats(heads * sum(widths)) if form == "plain" and random.choice(0, 1) else None,
        padding_of_keys(random, batch, length, past + keys),
        bias(random, batch, heads, length, past + keys),
    ]
    if past:
        inputs += [random.floats(batch, heads, past, size) for _ in range(2)]
    # ONNX Runtime cannot tell the type of the fourth output, the scores
    return Call(inputs, attributes, outputs=3 if past else 1)


def padding_of_keys(random: Random, batch: int, length: int, total: int) -> np.ndarray | None:
    """A mask in a form that MultiHeadAttention takes; it has none with starts of sequences."""
    mask = padding(random, batch, length, total)
    return mask if mask is None or mask.ndim > 1 else mask[:batch]


@example("RotaryEmbedding", domain=DOMAIN)
def rotary_embedding(random: Random, version: int) -> Call:
    batch, heads, length = random.integer(1, 3), random.integer(1, 3), random.integer(1, 4)
    size, most = 2 * random.integer(1, 4), 8
    x = random.floats(batch, heads, length, size)
    attributes: dict[str, Any] = {"interleaved": random.integer(0, 1)}
    width = size
    if random.choice(True, False):
        width = 2 * random.integer(1, size // 2)
        attributes |= {"rotary_embedding_dim": width, "num_heads": heads}
    if random.choice(True, False):
        x = x.transpose(0, 2, 1, 3).reshape(batch, length, -1)
        attributes |= random.choice({}, {"num_heads": heads})
    positions = random.integers(batch, length, low=0, high=most - 1)
    start = random.integers(1, low=0, high=most - length)
    caches = [random.floats(most, width // 2) for _ in range(2)]
    return Call([x, random.choice(positions, start), *caches], attributes)


@example("MoE", domain=DOMAIN)
def mixture(random: Random, version: int) -> Call:
    experts, hidden, inner = random.integer(2, 4), random.integer(1, 4), random.integer(1, 4)
    tokens = random.choice((3, hidden), (2, 3, hidden))
    kind = random.choice("relu", "gelu", "silu", "identity", "swiglu")
    wide = 2 * inner if kind == "swiglu" else inner
    attributes: dict[str, Any] = {"activation_type": kind, "k": random.integer(1, 2)}
    attributes |= random.choice({}, {"normalize_routing_weights": 1})
    if kind == "swiglu":
        attributes |= {"swiglu_fusion": 1, "activation_alpha": 1.5, "activation_beta": 0.5}
        attributes |= {"swiglu_limit": 2.0}
    inputs = [
        random.floats(*tokens),
        random.floats(int(np.prod(tokens[:-1])), experts),
        random.floats(experts, wide, hidden),
        random.choice(None, random.floats(experts, wide)),
        random.floats(experts, hidden, inner),
        random.choice(None, random.floats(experts, hidden)),
    ]
    return Call(inputs, attributes)


@example("GroupQueryAttention", domain=DOMAIN)
def group_query_attention(random: Random, version: int) -> Call:
    batch, kv_heads, groups = random.integer(1, 3), random.integer(1, 2), random.integer(1, 2)
    heads, size = kv_heads * groups, 16 * random.integer(1, 2)
    is_prompt = random.choice(True, False)
    length = random.integer(2, 5) if is_prompt else 1
    past = 0 if is_prompt else random.integer(1, 5)
    total = past + length
    # the sequences of a prompt are of one length here: ONNX Runtime fills padding with anything
    lengths = np.full(batch, total) if is_prompt else random.integers(batch, low=1, high=total)
    lengths[0] = total
    attributes: dict[str, Any] = {"num_heads": heads, "kv_num_heads": kv_heads}
    for option in (
        {"scale": 0.3}, {"softcap": 2.0}, {"smooth_softmax": 1},
        {"qk_output": random.integer(1, 2)},
        random.choice({"local_window_size": random.integer(1, 4)}, {"causal": 0}),
    ):  # fmt: skip
        attributes |= random.choice({}, {}, option)
    buffer = past + random.choice(0, 2)
    tokens = [random.floats(batch, length, n * size) for n in (heads, kv_heads, kv_heads)]
    if random.choice(True, False):
        tokens = [np.concatenate(tokens, -1), None, None]
    caches = [random.floats(batch, kv_heads, buffer, size) for _ in range(2)]
    scales: list[np.ndarray | None] = [None, None]
    if not is_prompt:
        form = random.choice("floats", "floats", "steps", "window")
        if form == "steps":
            caches, scales, options = steps(random, caches)
        elif form == "window" and "causal" not in attributes:
            # a cache as long as its window is full, so that all of it is specified
            options = {"sliding_window_cache": 1, "local_window_size": past}
            attributes.pop("qk_output", None)
            caches = [cache[:, :, :past] for cache in caches]
        else:
            options = {}
        attributes |= options
        lengths = lengths if form == "floats" else np.full(batch, total)
        if form == "steps":
            caches = [cache[:, :, :past] for cache in caches]
    tables: list[np.ndarray | None] = [None, None]
    if random.choice(True, False):
        attributes |= {"do_rotary": 1, "rotary_interleaved": random.integer(0, 1)}
        tables = [random.floats(16, size // 2) for _ in range(2)]
    inputs = [
        *tokens,
        *([None, None] if is_prompt else caches),
        (lengths - 1).astype(np.int32),
        np.array(total, np.int32),
        *tables,
        None,
        random.choice(None, random.floats(1, heads, length, total)),
        None if "smooth_softmax" in attributes else random.choice(None, random.floats(heads)),
        *scales,
    ]
    return Call(inputs, attributes, outputs=4 if "qk_output" in attributes else 3)


def steps(
    random: Random, caches: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray | None], dict[str, Any]]:
    """Caches of such shapes in steps of 8 or 4 bits, the scales, the attributes that say so."""
    bits, kind = random.choice(8, 4), random.choice("PER_TENSOR", "PER_CHANNEL")
    batch, heads, length, size = caches[0].shape
    shape = (1,) if kind == "PER_TENSOR" else (1, heads, 1, size)
    scales: list[np.ndarray | None] = [random.floats(*shape, low=0.01, high=0.05) for _ in caches]
    dtype, low, width = (np.int8, -128, size) if bits == 8 else (np.uint8, 0, size // 2)
    dims = (batch, heads, length, width)
    codes = [random.integers(*dims, low=low, high=low + 255, dtype=dtype) for _ in caches]
    return codes, scales, {"kv_cache_bit_width": bits, "k_quant_type": kind, "v_quant_type": kind}


@example("QMoE", domain=DOMAIN)
def quantized_mixture(random: Random, version: int) -> Call:
    experts, hidden, inner = random.integer(2, 4), 32 * random.integer(1, 2), 32
    tokens = random.choice((3, hidden), (2, 2, hidden))
    bits = random.choice(2, 4, 8)
    block = random.choice(0, 16, 32) if bits == 4 else 0  # blocks of others round the tokens
    kind = random.choice("relu", "gelu", "silu", "identity", "swiglu")
    attributes: dict[str, Any] = {"activation_type": kind, "k": random.integer(1, 2)}
    attributes |= {"expert_weight_bits": bits, "weights_prepacked": random.choice(-1, 0)}
    attributes |= {"block_size": block} if block else {}
    attributes |= random.choice({}, {"normalize_routing_weights": 1})
    if kind == "swiglu":
        attributes |= {"swiglu_fusion": 1, "activation_alpha": 1.5, "activation_beta": 0.5}
        attributes |= {"swiglu_limit": 2.0}
    with_zero_points = random.choice(True, False)
    layers = []
    for rows, columns in ((2 * inner if kind == "swiglu" else inner, hidden), (hidden, inner)):
        blocks = (columns // block,) if block else ()
        packed = (rows, -(-blocks[0] * bits // 8)) if block else (-(-rows * bits // 8),)
        size = (experts, rows, columns * bits // 8)
        weights = random.integers(*size, low=0, high=255, dtype=np.uint8)
        zero_points = random.integers(experts, *packed, low=0, high=255, dtype=np.uint8)
        scales = random.floats(experts, rows, *blocks, low=0.1, high=1) / 2**bits
        bias = random.choice(None, random.floats(experts, rows))
        layers.append([weights, scales, bias, zero_points if with_zero_points else None])
    (w1, s1, b1, z1), (w2, s2, b2, z2) = layers
    probs = random.floats(int(np.prod(tokens[:-1])), experts)
    weights = random.choice(None, random.floats(*probs.shape, low=0, high=1))
    x = random.floats(*tokens, low=-1, high=1)
    inputs = [x, probs, w1, s1, b1, w2, s2, b2, None, None, None, z1, z2, None, weights]
    return Call(inputs, attributes, constants=(2, 3, 5, 6, 11, 12), rtol=1e-3, atol=1e-3)


@example("MoEGroupRouter", domain=DOMAIN)
def group_router(random: Random, version: int) -> Call:
    groups, size = random.integer(1, 4), random.integer(2, 4)
    chosen = random.integer(1, groups)
    attributes = {"n_group": groups, "topk_group": chosen, "group_topk": random.integer(1, 5)}
    attributes |= {"top_k": random.integer(1, chosen * size)}
    attributes |= random.choice({}, {"router_sentinel": -50.0})
    lead = random.choice((3,), (2, 3))
    return Call([random.floats(*lead, groups * size), random.floats(groups * size)], attributes)
