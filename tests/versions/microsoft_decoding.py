"""Calls of com.microsoft's attention in decoders, over shared and over sparse caches."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

DOMAIN = "com.microsoft"


@example("DecoderMaskedMultiHeadAttention", domain=DOMAIN)
def decoder_masked_multi_head_attention(random: Random, version: int) -> Call:
    batch, beams, heads, size = (random.integer(1, 3) for _ in range(4))
    rows, past, hidden = batch * beams, random.integer(1, 4), heads * size
    attributes: dict[str, Any] = {"num_heads": heads} | random.choice({}, {"scale": 0.3})
    query = random.floats(rows, 1, hidden)
    bias = random.choice(None, random.floats(3 * hidden))
    mask = random.integers(rows, past, low=0, high=1, dtype=np.int32)
    mask[:, 0] = 1
    if random.choice(True, False):
        caches = [random.floats(rows, heads, past, size) for _ in range(2)]
        inputs = [query, *caches, random.choice(None, mask), *(None,) * 6, bias]
        return Call(inputs, attributes)
    mask = np.concatenate([mask, np.ones((rows, 1), np.int32)], -1)
    attributes["past_present_share_buffer"] = 1
    longest = past + random.integer(1, 3)
    origins = random.integers(batch, beams, longest, low=0, high=beams - 1, dtype=np.int32)
    origins[..., past] = np.arange(beams)  # each beam's own new token
    beam_inputs = random.choice([None, None], [np.array([beams], np.int32), origins])
    # of a bias for each beam, ONNX Runtime takes the one of another row
    count = 1 if beam_inputs[0] is not None else random.choice(1, rows)
    added = random.floats(count, heads, 1, past + 1)
    inputs = [
        query,
        *(random.floats(rows, 1, hidden) for _ in range(2)),
        random.choice(None, mask),
        random.choice(None, added),
        *(random.floats(rows, heads, longest, size) for _ in range(2)),
        np.array([past], np.int32),
        *beam_inputs,
        bias,
    ]
    return Call(inputs, attributes, outputs=3)


@example("SparseAttention", domain=DOMAIN)
def sparse_attention(random: Random, version: int) -> Call:
    batch, kv_heads, groups = random.integer(1, 3), random.integer(1, 2), random.integer(1, 2)
    heads, size, block, blocks = kv_heads * groups, 16, 16, 3
    longest, is_prompt = block * blocks, random.choice(True, False)
    total = random.integer(2, longest)
    length = total if is_prompt else 1
    totals = np.full(batch, total, np.int32)  # ONNX Runtime mixes up sequences of other lengths
    layouts = random.choice(*(n for n in (1, 2) if heads % n == 0))
    seen = random.bools(layouts, blocks, blocks) | np.eye(blocks, dtype=bool)
    rows, columns = compressed(np.tril(seen))
    attributes: dict[str, Any] = {"num_heads": heads, "kv_num_heads": kv_heads}
    attributes |= {"sparse_block_size": block} | random.choice({}, {"scale": 0.3})
    tables: list[Any] = [None, None]
    if random.choice(True, False):
        attributes |= {"do_rotary": 1, "rotary_interleaved": random.integer(0, 1)}
        tables = [random.floats(longest, size // 2, low=-1, high=1) for _ in range(2)]
    tokens: list[Any] = [random.floats(batch, length, n * size) for n in (heads, *[kv_heads] * 2)]
    if random.choice(True, False):
        tokens = [np.concatenate(tokens, -1), None, None]
    caches = [random.floats(batch, kv_heads, longest, size) for _ in range(2)]
    inputs = [*tokens, *caches, rows, columns, np.array([total], np.int32), totals, *tables]
    return Call(inputs, attributes, outputs=3, shared={1: 3, 2: 4})


def compressed(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sparse layouts (layouts, rows, columns) as CSR, columns padded with -1."""
    ends = np.cumsum(blocks.sum(-1), -1)
    rows = np.concatenate([np.zeros((len(blocks), 1)), ends], -1).astype(np.int32)
    found = [np.nonzero(layout)[1] for layout in blocks]
    width = max(map(len, found))
    columns = [np.pad(row, (0, width - len(row)), constant_values=-1) for row in found]
    return rows, np.stack(columns).astype(np.int32)


@example("MRotaryEmbedding", domain=DOMAIN)
def m_rotary_embedding(random: Random, version: int) -> Call:
    batch, heads, length, most = *(random.integer(1, 3) for _ in range(3)), 8
    section = [random.integer(1, 3) for _ in range(3)]
    layout = random.integer(0, 1)
    section = [section[0], *[min(section[:2])] * 2] if layout else section
    half = sum(section)
    size = 2 * half + random.choice(0, 2)
    x = random.floats(batch, heads, length, size)
    attributes: dict[str, Any] = {"mrope_section": section, "mrope_layout": layout}
    attributes["interleaved"] = random.integer(0, 1)
    if size > 2 * half:
        attributes |= {"rotary_embedding_dim": 2 * half, "num_heads": heads}
    if random.choice(True, False):
        x = x.transpose(0, 2, 1, 3).reshape(batch, length, -1)
        attributes["num_heads"] = heads
    positions = random.integers(3, batch, length, low=0, high=most - 1)
    caches = [random.floats(most, half) for _ in range(2)]
    return Call([x, positions, *caches], attributes)
