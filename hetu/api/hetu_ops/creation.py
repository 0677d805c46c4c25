"""Values that are made of nothing: constants and samples, the latter fresh in every run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hetu.api.hetu_ops.parts import cast, filled
from hetu.api.value import Value, make
from hetu.types import FLOAT32, INT32, dtype

SMALLEST = float(np.finfo(np.float32).tiny)


def arange_op(start: float, end: float, step: float = 1.0, ctx: Any = None) -> Value:
    """The numbers from `start` up to `end`, which is left out, `step` apart."""
    return make("Constant", value=np.arange(start, end, step).astype(np.float32))


def full_op(size: Sequence[int], fill_value: float, ctx: Any = None) -> Value:
    """The number `fill_value` everywhere."""
    return filled(list(size), fill_value, FLOAT32)


def rand_op(size: Sequence[int], ctx: Any = None) -> Value:
    """Samples between 0 and 1."""
    return uniform_sample_op(size, 0.0, 1.0)


def uniform_sample_op(shape: Sequence[int], low: float, high: float, ctx: Any = None) -> Value:
    """Samples between `low` and `high`."""
    return make("RandomUniform", shape=list(shape), low=low, high=high, dtype=FLOAT32)


def normal_sample_op(shape: Sequence[int], mean: float, stddev: float, ctx: Any = None) -> Value:
    """Samples of the normal distribution."""
    return make("RandomNormal", shape=list(shape), mean=mean, scale=stddev, dtype=FLOAT32)


def truncated_normal_sample_op(
    shape: Sequence[int], mean: float, stddev: float, ctx: Any = None
) -> Value:
    """Samples of the normal distribution that lie within two standard deviations."""
    return make("TruncatedNormal", shape=list(shape), mean=mean, scale=stddev, domain="hetu")


def gumbel_sample_op(shape: Sequence[int], ctx: Any = None) -> Value:
    """Samples of the standard Gumbel distribution."""
    uniform = uniform_sample_op(shape, SMALLEST, 1.0)
    return -make("Log", -make("Log", uniform))


def randint_sample_op(shape: Sequence[int], low: int, high: int, ctx: Any = None) -> Value:
    """Whole numbers from `low` up to `high`, which is left out."""
    # In float64, and scaled before shifted, so that rounding never reaches `high`.
    uniform = make("RandomUniform", shape=list(shape), dtype=dtype(np.float64))
    steps = make("Floor", make("Mul", uniform, np.float64(high - low)))
    return make("Add", cast(steps, INT32), np.int32(low))
