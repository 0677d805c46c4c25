"""Calls of the Gather and Scatter operators."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

FLOATS = (np.float32, np.float64, np.float16)
NUMBERS = (*FLOATS, np.int64, np.int32, np.int8, np.uint8, np.uint16, np.uint64)


def data(random: Random, rank: int, *dtypes: Any) -> np.ndarray:
    """Small numbers of one of the types, or of any."""
    x = random.integers(*random.shape(rank), low=0, high=100)
    return x.astype(random.choice(*(dtypes or NUMBERS)))


def indices(
    random: Random, size: int, *shape: int, dtype: Any = None, negative: bool = True
) -> np.ndarray:
    """Indices into an axis, counted from both ends."""
    low = -size if negative else 0
    dtype = dtype or random.choice(np.int64, np.int32)
    return random.integers(*shape, low=low, high=size - 1, dtype=dtype)


@example("Gather")
def gather(random: Random, version: int) -> Call:
    if random.integer(0, 3) == 0:
        # Of rows of strings, ONNX Runtime copies the first element only.
        x = np.array(["a", "b", "", "ab"], dtype=object)
    else:
        x = data(random, random.integer(1, 4))
    axis = random.axis(x)
    places = random.shape(random.integer(0, 3))
    # Negative indices came with version 11.
    chosen = indices(random, x.shape[axis], *places, negative=version >= 11)
    return Call([x, chosen], {"axis": axis})


def inside(random: Random, x: np.ndarray, axis: int) -> list[int]:
    """A shape as large as that of `x` or smaller, of any size along the axis."""
    dims = [random.integer(1, size) for size in x.shape]
    dims[axis] = random.integer(1, 6)
    return dims


@example("GatherElements")
def gather_elements(random: Random, version: int) -> Call:
    x = data(random, random.integer(1, 4))
    axis = random.axis(x)
    dims = inside(random, x, axis)
    return Call([x, indices(random, x.shape[axis], *dims)], {"axis": axis})


def tuples(random: Random, sizes: tuple[int, ...], *shape: int) -> np.ndarray:
    """Tuples of indices, one column per dimension."""
    columns = [indices(random, size, *shape, dtype=np.int64) for size in sizes]
    return np.stack(columns, -1)


@example("GatherND")
def gather_nd(random: Random, version: int) -> Call:
    x = data(random, random.integer(1, 4))
    batch_dims = random.integer(0, x.ndim - 1) if version >= 12 else 0
    depth = random.integer(1, x.ndim - batch_dims)
    places = (*x.shape[:batch_dims], *random.shape(random.integer(0, 2)))
    sizes = x.shape[batch_dims : batch_dims + depth]
    attributes = {"batch_dims": batch_dims} if version >= 12 else {}
    return Call([x, tuples(random, sizes, *places)], attributes)


def distinct(random: Random, x: np.ndarray, axis: int) -> np.ndarray:
    """Indices along an axis, none twice in one row."""
    order = np.argsort(random.source.random(x.shape), axis)
    length = random.integer(1, x.shape[axis])
    places = np.take(order, np.arange(length), axis)
    return np.where(random.bools(*places.shape), places, places - x.shape[axis])


def scatter(random: Random, version: int) -> Call:
    x = data(random, random.integer(1, 4))
    axis = random.axis(x, negative=version >= 11)
    places = distinct(random, x, axis).astype(random.choice(np.int64, np.int32))
    updates = random.integers(*places.shape, low=0, high=100).astype(x.dtype)
    return Call([x, places, updates], {"axis": axis})


@example("Scatter")
def scatter_9(random: Random, version: int) -> Call:
    return scatter(random, version)


def reduction(random: Random, version: int) -> str:
    """One of the reductions that the version has."""
    names = ("none", "add", "mul", *(("max", "min") if version >= 18 else ()))
    return random.choice(*names) if version >= 16 else "none"


@example("ScatterElements")
def scatter_elements(random: Random, version: int) -> Call:
    name = reduction(random, version)
    if name == "none":
        return scatter(random, version)
    x = random.integers(*random.shape(random.integer(1, 4)), low=-3, high=3)
    x = x.astype(random.choice(np.float32, np.float64, np.int64, np.int32, np.int8))
    axis = random.axis(x)
    places = indices(random, x.shape[axis], *inside(random, x, axis))
    updates = random.integers(*places.shape, low=-2, high=2).astype(x.dtype)
    return Call([x, places, updates], {"axis": axis, "reduction": name})


@example("ScatterND")
def scatter_nd(random: Random, version: int) -> Call:
    name = reduction(random, version)
    rank = random.integer(1, 4)
    if name == "none":
        x = data(random, rank)
    else:
        x = data(random, rank, np.float32, np.float64, np.int64, np.int32)
    depth = random.integer(1, rank)
    places = random.shape(random.integer(0, 2), high=4)
    chosen = tuples(random, x.shape[:depth], *places)
    if name == "none":
        count = int(np.prod(places))
        free = min(count, int(np.prod(x.shape[:depth])))
        flat = random.source.permutation(int(np.prod(x.shape[:depth])))[:free]
        chosen = np.stack(np.unravel_index(flat, x.shape[:depth]), -1)
    updates = random.integers(*chosen.shape[:-1], *x.shape[depth:], low=-2, high=2)
    attributes = {"reduction": name} if version >= 16 else {}
    return Call([x, chosen.astype(np.int64), updates.astype(x.dtype)], attributes)


@example("TensorScatter")
def tensor_scatter(random: Random, version: int) -> Call:
    cache = random.floats(rank=random.integer(2, 4))
    axis = random.integer(1, cache.ndim - 1)
    length = random.integer(1, cache.shape[axis])
    dims = list(cache.shape)
    dims[axis] = length
    mode = random.choice("linear", "circular")
    last = cache.shape[axis] - (length if mode == "linear" else 1)
    starts = random.integers(cache.shape[0], low=0, high=last)
    attributes = {"axis": axis - random.choice(0, cache.ndim), "mode": mode}
    return Call([cache, random.floats(*dims), random.choice(starts, None)], attributes)


@example("ReverseSequence")
def reverse_sequence(random: Random, version: int) -> Call:
    x = data(random, random.integer(2, 4))
    time = random.integer(0, 1)
    lengths = random.integers(x.shape[1 - time], low=1, high=x.shape[time])
    return Call([x, lengths], {"time_axis": time, "batch_axis": 1 - time})
