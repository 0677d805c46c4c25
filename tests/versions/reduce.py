"""Calls of reductions, positions of extremes and cumulative operators."""

from typing import Any

import numpy as np

from tests.support.examples import ATOL, RTOL, Call, Example, Random, example

HALF = 2.0**-9
"""Four roundings to float16: of a result and of what it is computed from, by each side."""

AXES_AS_INPUT = {"ReduceSum": 13}
"""The version from which axes are an input, where it is not 18."""


def values(random: Random, *dtypes: Any) -> np.ndarray:
    """Numbers of one of the types, small whole ones in integer types."""
    dtype = np.dtype(random.choice(*dtypes))
    rank = random.integer(1, 4)
    if dtype.kind == "f":
        return random.floats(rank=rank, dtype=dtype)
    if dtype == np.bool_:
        return random.bools(*random.shape(rank))
    return random.integers(rank=rank, low=0 if dtype.kind == "u" else -5, dtype=dtype)


def reduction(random: Random, version: int, op_type: str, x: np.ndarray) -> Call:
    """A call with random axes, or none."""
    attributes: dict[str, Any] = {}
    if random.bools():
        attributes["keepdims"] = random.integer(0, 1)
    axes = [axis - x.ndim if random.bools() else axis for axis in range(x.ndim) if random.bools()]
    tolerance = HALF if x.dtype == np.float16 else RTOL
    atol = HALF if x.dtype == np.float16 else ATOL
    if version < AXES_AS_INPUT.get(op_type, 18):
        if axes:
            attributes["axes"] = axes
        return Call([x], attributes, rtol=tolerance, atol=atol)
    if random.bools():
        attributes["noop_with_empty_axes"] = random.integer(0, 1)
    given = np.array(axes, np.int64) if axes or random.bools() else None
    constants = [1] if given is not None and random.bools() else []
    return Call([x, given], attributes, constants=constants, rtol=tolerance, atol=atol)


def reduction_of_numbers(op_type: str) -> Example:
    """The maker of calls of a reduction of all numbers."""

    def make(random: Random, version: int) -> Call:
        return reduction(random, version, op_type, values(random, *NUMBERS))

    return make


NUMBERS = (np.float32, np.float64, np.float16, np.int32, np.int64)
FLOATS = (np.float32, np.float64, np.float16)

for _op_type in ("ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2"):
    example(_op_type)(reduction_of_numbers(_op_type))


@example("ReduceProd")
def reduce_prod(random: Random, version: int) -> Call:
    x = values(random, *NUMBERS)
    if x.dtype.kind == "i":  # no product overflows
        x = np.sign(x)
    call = reduction(random, version, "ReduceProd", x)
    if x.dtype == np.float16:  # ONNX Runtime rounds after each factor
        call.rtol = (1 + x.size) * HALF / 4
    return call


@example("ReduceLogSum")
def reduce_log_sum(random: Random, version: int) -> Call:
    x = abs(values(random, *(NUMBERS if version < 28 else FLOATS)))
    return reduction(random, version, "ReduceLogSum", x + x.dtype.type(1))


@example("ReduceLogSumExp")
def reduce_log_sum_exp(random: Random, version: int) -> Call:
    # ONNX Runtime rounds the powers of integers down to integers before it adds them
    return reduction(random, version, "ReduceLogSumExp", values(random, *FLOATS))


def extreme(random: Random, version: int, op_type: str) -> Call:
    bytes_ = (np.uint8, np.int8) if version >= 12 else ()
    truth = (np.bool_,) if version >= 20 else ()
    return reduction(random, version, op_type, values(random, *NUMBERS, *bytes_, *truth))


@example("ReduceMax")
def reduce_max(random: Random, version: int) -> Call:
    return extreme(random, version, "ReduceMax")


@example("ReduceMin")
def reduce_min(random: Random, version: int) -> Call:
    return extreme(random, version, "ReduceMin")


def position(random: Random, version: int) -> Call:
    x = random.integers(rank=random.integer(1, 4), low=0, high=3)
    x = x.astype(random.choice(*NUMBERS, np.uint8, np.int8))
    attributes = {"keepdims": random.integer(0, 1)}
    if random.bools():
        attributes["axis"] = random.axis(x, negative=version >= 11)
    if version >= 12:
        attributes["select_last_index"] = random.integer(0, 1)
    return Call([x], attributes)


example("ArgMax")(position)
example("ArgMin")(position)


def cumulative(random: Random, x: np.ndarray) -> Call:
    axis = np.array(random.axis(x), random.choice(np.int32, np.int64))
    flags = {"exclusive": random.integer(0, 1), "reverse": random.integer(0, 1)}
    tolerance = (HALF, HALF) if x.dtype == np.float16 else (RTOL, ATOL)
    return Call([x, axis], flags, rtol=tolerance[0], atol=tolerance[1])


@example("CumSum")
def cum_sum(random: Random, version: int) -> Call:
    half = (np.float16,) if version >= 14 else ()
    return cumulative(random, values(random, np.float32, np.float64, np.int32, np.int64, *half))


@example("CumProd")
def cum_prod(random: Random, version: int) -> Call:
    return cumulative(random, values(random, *NUMBERS, np.uint32, np.uint64))
