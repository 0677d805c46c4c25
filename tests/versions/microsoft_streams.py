"""Calls of com.microsoft's gates, branches and residual streams."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

DOMAIN = "com.microsoft"


def halves(random: Random) -> tuple[Any, float]:
    """float32 or float16, and what two of its roundings may make."""
    return random.choice((np.float32, 1e-5), (np.float16, 2e-3))


def branched(random: Random) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """The shape of streams by branches, the same as the node gets it, and its attributes."""
    shape = random.shape(random.integer(2, 4))
    if random.choice(True, False):
        return shape, shape, {}
    return shape, (*shape[:-2], shape[-2] * shape[-1]), {"num_branches": shape[-2]}


@example("BranchwiseRMSNorm", domain=DOMAIN)
def branchwise_rms_norm(random: Random, version: int) -> Call:
    (dtype, tolerance), (shape, given, attributes) = halves(random), branched(random)
    sizes = random.choice(shape[-1:], shape[-2:], (shape[-2] * shape[-1],))
    scale = random.choice(None, random.floats(*sizes))
    attributes |= random.choice({}, {"epsilon": 0.1})
    x = random.floats(*given, dtype=dtype)
    return Call([x, scale], attributes, rtol=tolerance, atol=tolerance)


@example("GatedRMSNorm", domain=DOMAIN)
def gated_rms_norm(random: Random, version: int) -> Call:
    dtype, tolerance = halves(random)
    *lead, size = random.shape(random.integer(1, 3))
    x, gate = (random.floats(*lead, size * 2, dtype=dtype) for _ in range(2))
    scale = random.floats(random.choice(1, 2) * size, dtype=dtype)
    attributes = {"activation": random.choice("silu", "swish", "sigmoid")}
    attributes |= random.choice({}, {"epsilon": 0.1})
    return Call([x, scale, gate], attributes, rtol=tolerance, atol=tolerance)


@example("GatedAdd", domain=DOMAIN)
def gated_add(random: Random, version: int) -> Call:
    dtype, tolerance = halves(random)
    dims = random.shape(random.integer(1, 4))
    inputs = [random.floats(*shape, dtype=dtype) for shape in (dims, dims, (*dims[:-1], 1))]
    return Call(inputs, rtol=tolerance, atol=tolerance)


@example("EngramGate", domain=DOMAIN)
def engram_gate(random: Random, version: int) -> Call:
    dtype, tolerance = halves(random)
    batch, length, branches, size = random.shape(4)
    inputs = [
        *(random.floats(batch, length, branches, size, dtype=dtype) for _ in range(2)),
        random.floats(batch, length, size, dtype=dtype),
        *(random.floats(branches, size, dtype=dtype) for _ in range(2)),
    ]
    scale = random.choice(None, random.floats(branches, size, dtype=dtype))
    outputs = 1 if scale is None else 2
    attributes = random.choice({}, {"epsilon": 0.1})
    return Call([*inputs, scale], attributes, outputs, rtol=tolerance, atol=tolerance)


@example("HyperConnectionPreMix", domain=DOMAIN)
def hyper_connection_pre_mix(random: Random, version: int) -> Call:
    (dtype, tolerance), (shape, given, attributes) = halves(random), branched(random)
    mixes = [shape[:-1], (*shape[:-1], 1), shape]
    mixes += [given] if attributes else []
    attributes |= random.choice({}, {"reduction_scale": 0.5})
    inputs = [random.floats(*given, dtype=dtype), random.floats(*random.choice(*mixes))]
    return Call(inputs, attributes, rtol=tolerance, atol=5 * tolerance)


@example("HyperConnectionPostMix", domain=DOMAIN)
def hyper_connection_post_mix(random: Random, version: int) -> Call:
    (dtype, tolerance), (shape, given, attributes) = halves(random), branched(random)
    inputs = [
        random.floats(*given, dtype=dtype),
        random.floats(*shape[:-2], shape[-1], dtype=dtype),
        random.floats(*random.choice(shape[:-1], (*shape[:-1], 1), shape)),
        random.choice(None, random.floats(*shape[:-1], shape[-2])),
    ]
    return Call(inputs, attributes, rtol=tolerance, atol=5 * tolerance)


@example("ScaledSiLU", domain=DOMAIN)
def scaled_si_lu(random: Random, version: int) -> Call:
    dtype, tolerance = halves(random)
    x = random.floats(rank=random.integer(1, 3), dtype=dtype)
    scale = random.choice(None, np.asarray(random.floats()))
    return Call([x, scale], random.choice({}, {"alpha": 0.3}), rtol=tolerance, atol=tolerance)
