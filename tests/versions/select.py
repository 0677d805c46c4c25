"""Calls of slicing, choosing, sorting and one-hot operators."""

import numpy as np

from tests.support.examples import Call, Random, example

FLOATS = (np.float32, np.float64, np.float16)
FAR = 2**31 - 1

ONE_HOT_TYPES = (
    (np.int64, np.int64, np.int64), (np.float32, np.int64, np.int64), (np.int64, str, np.int64),
    (np.float32, str, np.int64), (np.int64, np.float32, np.int64), (np.int32, np.float32, np.int32),
    (np.int32, np.float32, np.float32), (np.float32, np.float32, np.float32),
)  # fmt: skip
"""The types of indices, values and depth that ONNX Runtime has kernels for."""


@example("Slice")
def slice_(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4), dtype=random.choice(np.float32, np.int64))
    axes = random.permutation(x.ndim)[: random.integer(1, x.ndim)]
    signs = [random.choice(1, 1, -1) if version >= 10 else 1 for _ in axes]
    starts, ends, steps = [], [], []
    for sign in signs:
        start, end = random.integer(-7, 7), random.choice(random.integer(-7, 7), FAR * sign)
        starts.append(start)
        ends.append(end)
        steps.append(sign * random.integer(1, 3))
    named = [int(axis) - random.choice(0, x.ndim) for axis in axes]
    if version < 10:
        return Call([x], {"starts": starts, "ends": ends, "axes": [int(axis) for axis in axes]})
    element = random.choice(np.int64, np.int32)
    inputs = [np.array(part, element) for part in (starts, ends, named, steps)]
    if random.integer(0, 3) == 0:
        return Call([x, *(part[: x.ndim] for part in inputs[:2])])
    return Call([x, *inputs[: random.integer(3, 4)]], constants=random.choice((), (1, 2, 3)))


@example("OneHot")
def one_hot(random: Random, version: int) -> Call:
    depth = random.integer(1, 6)
    # Version 9 says that negative indices are off; ONNX Runtime counts them from the end there too.
    low = -depth - 2 if version >= 11 else 0
    element, value, depth_type = random.choice(*ONE_HOT_TYPES)
    places = random.shape(random.integer(1, 3))
    chosen = random.integers(*places, low=low, high=depth + 1, dtype=element)
    values = np.array(["off", "on"], object) if value is str else random.floats(2, dtype=value)
    size = np.array(random.choice(depth, [depth]), depth_type)
    axis = random.integer(-chosen.ndim - 1, chosen.ndim) if version >= 11 else -1
    return Call([chosen, size, values], {"axis": axis})


@example("NonZero")
def non_zero(random: Random, version: int) -> Call:
    # ONNX Runtime gives a scalar the shape (1, N), not (0, N) as specified.
    x = random.integers(rank=random.integer(1, 4), low=-1, high=1)
    return Call([x.astype(random.choice(np.float32, np.int32, np.int64, np.bool_))])


@example("Compress")
def compress(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4), dtype=random.choice(*FLOATS, np.int64, np.uint16))
    axis = random.choice(None, random.axis(x, negative=version >= 11))
    length = x.size if axis is None else x.shape[axis]
    keep = random.bools(random.integer(1, length))
    return Call([x, keep], {} if axis is None else {"axis": axis})


@example("TopK")
def top_k(random: Random, version: int) -> Call:
    dtypes = (np.float32, np.float64, *((np.int64, np.int32) if version >= 11 else ()))
    # Few different numbers: ties are broken by position.
    x = random.integers(rank=random.integer(1, 4), low=-3, high=3).astype(random.choice(*dtypes))
    if x.dtype.kind == "i" and random.integer(0, 1):
        x = np.where(x == 3, np.iinfo(x.dtype).max, np.where(x < -1, np.iinfo(x.dtype).min, x))
    axis = random.axis(x, negative=version >= 11)
    k = random.integer(1, x.shape[axis])
    if version < 10:
        return Call([x], {"k": k, "axis": axis}, outputs=2)
    attributes = {"axis": axis}
    if version >= 11:
        attributes["largest"] = random.integer(0, 1)
    return Call([x, np.array([k])], attributes, outputs=2)


@example("Unique")
def unique(random: Random, version: int) -> Call:
    element = random.choice(np.float32, np.float64, np.int64, np.int8)
    x = random.integers(*random.shape(random.integer(1, 3), high=4), low=-1, high=1, dtype=element)
    attributes = {"sorted": random.integer(0, 1)}
    if random.integer(0, 1):
        attributes["axis"] = random.axis(x)
    return Call([x], attributes, outputs=random.integer(1, 4))


@example("Trilu")
def trilu(random: Random, version: int) -> Call:
    x = random.floats(
        rank=random.integer(2, 4), dtype=random.choice(np.float32, np.float64, np.int64)
    )
    k = random.choice(None, np.array(random.integer(-6, 6)))
    return Call([x, k], {"upper": random.integer(0, 1)})
