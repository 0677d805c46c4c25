"""Calls of operators that draw random numbers, with all the probability in one value.

Their distributions are tested in `tests/ops/test_random.py`.
"""

from typing import Any

import numpy as np
import onnx

from tests.support.examples import Call, Random, example

FLOATS = (np.float32, np.float64)
TINY = 1e-30
"""A deviation that shows in no result; ONNX Runtime aborts the process at 0."""


def element(random: Random, *dtypes: Any) -> dict[str, Any]:
    """The attribute `dtype`, sometimes."""
    if random.bools():
        return {}
    return {"dtype": int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(random.choice(*dtypes))))}


def seed(random: Random) -> dict[str, Any]:
    """The attribute `seed`, sometimes."""
    return {"seed": random.choice(0.0, 3.0, 0.5)} if random.bools() else {}


@example("Dropout")
def dropout(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(0, 4), dtype=random.choice(*FLOATS, np.float16))
    if version < 12:
        # no second output: ONNX Runtime's mask is false throughout, though it drops nothing
        return Call([x], {"ratio": random.choice(0.1, 0.9)} if random.bools() else {})
    ratio = np.array(random.choice(0.0, 0.3), random.choice(*FLOATS))
    inputs = random.choice([x], [x, ratio], [x, None, np.array(False)])
    if random.bools():
        inputs = [x, np.zeros((), np.float32), np.array(True)]
    constants = [1] if len(inputs) == 2 and random.bools() else []
    attributes = {"seed": random.integer(0, 9)} if random.bools() else {}
    return Call(inputs, attributes, outputs=random.integer(1, 2), constants=constants)


@example("RandomNormal")
def random_normal(random: Random, version: int) -> Call:
    shape = list(random.shape(random.integer(1, 4)))
    attributes = {"shape": shape, "mean": random.choice(0.0, -2.5), "scale": TINY}
    return Call([], attributes | element(random, *FLOATS) | seed(random))


@example("RandomNormalLike")
def random_normal_like(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(0, 4), dtype=random.choice(*FLOATS))
    attributes = {"mean": random.choice(0.0, -2.5), "scale": TINY}
    return Call([x], attributes | element(random, *FLOATS) | seed(random))


@example("RandomUniform")
def random_uniform(random: Random, version: int) -> Call:
    bound = random.choice(0.0, -2.5)
    attributes = {"shape": list(random.shape(random.integer(1, 4))), "low": bound, "high": bound}
    return Call([], attributes | element(random, *FLOATS) | seed(random))


@example("RandomUniformLike")
def random_uniform_like(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(0, 4), dtype=random.choice(*FLOATS))
    bound = random.choice(0.0, -2.5)
    attributes = {"low": bound, "high": bound}
    return Call([x], attributes | element(random, *FLOATS) | seed(random))


@example("Bernoulli")
def bernoulli(random: Random, version: int) -> Call:
    p = random.bools(*random.shape(random.integer(0, 4))).astype(random.choice(*FLOATS))
    kinds = (*FLOATS, np.uint8, np.int32, np.int64, np.uint16, np.uint32, np.uint64, np.bool_)
    return Call([np.asarray(p)], element(random, *kinds) | seed(random))


@example("Multinomial")
def multinomial(random: Random, version: int) -> Call:
    samples, classes = random.shape(2)
    x = np.full((samples, classes), -1e4, np.float32)
    x[np.arange(samples), random.integers(samples, low=0, high=classes - 1)] = 0
    attributes = {"sample_size": random.integer(1, 4)} if random.bools() else {}
    return Call([x], attributes | element(random, np.int32, np.int64) | seed(random))
