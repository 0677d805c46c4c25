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
    elif version >= 24 and random.choice(True, False):
        inputs += [None, None, random.integers(batch, low=1, high=kv_length)]
    if version >= 25:
        attributes |= random.choice({}, {"left_window_size": random.integer(0, 3)})
        attributes |= random.choice({}, {"right_window_size": random.integer(0, 3)})
    if len(inputs) == 7 or random.choice(True, False):
        return Call(inputs, attributes, outputs=3 if past else 1)
    # Mode 2 is left out: for a masked key ONNX Runtime writes a large negative number, not -inf.
    attributes["qk_matmul_output_mode"] = random.choice(0, 1, 3)
    return Call(inputs, attributes, outputs=4)


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
    batch, length, kv_heads = random.integer(1, 3), random.integer(1, 4), random.integer(1, 2)
    size, value_size, heads = random.integer(1, 3), random.integer(1, 3), kv_heads * 2
    rule = random.choice("linear", "gated", "delta", "gated_delta")
    decay = random.floats(batch, length, kv_heads * random.choice(1, size), low=-1, high=0)
    beta = random.floats(batch, length, random.choice(1, kv_heads), low=0, high=1)
    inputs = [
        random.floats(batch, length, heads * size),
        random.floats(batch, length, kv_heads * size, low=-1, high=1),
        random.floats(batch, length, kv_heads * value_size),
        random.choice(None, random.floats(batch, kv_heads, size, value_size)),
        decay if "gated" in rule else None,
        beta if "delta" in rule else None,
    ]
    attributes = {"q_num_heads": heads, "kv_num_heads": kv_heads, "update_rule": rule}
    return Call(inputs, attributes | random.choice({}, {"scale": 0.4}), outputs=2)
