"""Calls of attention and rotary embeddings."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example


@example("Attention")
def attention(random: Random, version: int) -> Call:
    batch, kv_heads, groups = random.integer(1, 3), random.integer(1, 2), random.integer(1, 2)
    heads, size, value_size = kv_heads * groups, random.integer(1, 4), random.integer(1, 4)
    q_length, kv_length = random.integer(1, 5), random.integer(1, 5)
    past = random.choice(0, random.integer(1, 4))
    if past and q_length == 1:
        kv_length = 1  # else ONNX Runtime lets a causal query see keys that come after it
    total = past + kv_length
    attributes: dict[str, Any] = random.choice({}, {"scale": 0.3})
    attributes |= random.choice({}, {"is_causal": 1})
    attributes |= random.choice({}, {"softcap": 2.0})
    shapes = (batch, heads, q_length, size), (batch, kv_heads, kv_length, size)
    shapes += ((batch, kv_heads, kv_length, value_size),)
    inputs: list[np.ndarray | None] = [random.floats(*shape) for shape in shapes]
    if random.choice(True, False):
        inputs = [x.transpose(0, 2, 1, 3).reshape(batch, x.shape[2], -1) for x in inputs]
        attributes |= {"q_num_heads": heads, "kv_num_heads": kv_heads}
    inputs.append(mask(random, (batch, heads, q_length, total)))
    if past:
        inputs.append(random.floats(batch, kv_heads, past, size))
        inputs.append(random.floats(batch, kv_heads, past, value_size))
    return Call(inputs, attributes, outputs=3 if past else 1)


def mask(random: Random, shape: tuple[int, ...]) -> np.ndarray | None:
    """None, or a mask of bool or float that broadcasts to a shape and leaves some key to all."""
    dims = random.choice(shape, shape[2:], (1, *shape[1:]), (shape[0], 1, *shape[2:]), shape[1:])
    allowed = random.bools(*dims)
    allowed[..., 0] = True
    return random.choice(None, allowed, random.floats(*dims))


@example("RotaryEmbedding")
def rotary_embedding(random: Random, version: int) -> Call:
    batch, heads, length = random.integer(1, 3), random.integer(1, 3), random.integer(1, 4)
    size = 2 * random.integer(1, 4)
    x = random.floats(batch, heads, length, size)
    attributes: dict[str, Any] = {"interleaved": random.integer(0, 1)}
    if random.choice(True, False):
        x = x.transpose(0, 2, 1, 3).reshape(batch, length, -1)
        attributes["num_heads"] = heads
    if random.choice(True, False):
        caches = [random.floats(9, size // 2) for _ in range(2)]
        return Call([x, *caches, random.integers(batch, length, low=0, high=8)], attributes)
    return Call([x, *(random.floats(batch, length, size // 2) for _ in range(2))], attributes)


@example("LinearAttention")
def linear_attention(random: Random, version: int) -> Call:
    batch, length, size, heads = (random.integer(1, 3) for _ in range(4))
    q, k, v = (random.floats(batch, length, heads * size) for _ in range(3))
    attributes = {"q_num_heads": heads, "kv_num_heads": heads, "update_rule": "linear"}
    return Call([q, k, v], attributes, outputs=2)
