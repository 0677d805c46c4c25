"""Calls of operators on shapes, views and layout."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

TYPES = (
    np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64,
    np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, np.object_,
)  # fmt: skip


def anything(random: Random, *shape: int, rank: int | None = None, types: Any = None) -> np.ndarray:
    """An array of one of the types, by default any that numpy has."""
    dims = random.shape(rank) if rank is not None else shape
    kind = random.choice(*(types or TYPES))
    if kind is np.object_:
        texts = random.source.choice(["", "a", "bc", "d e", "ü"], dims)
        return np.asarray(texts, object)
    if kind is np.bool_:
        return np.asarray(random.bools(*dims))
    if np.dtype(kind).kind == "f":
        return random.floats(*dims, dtype=kind)
    return random.integers(*dims, low=0, high=100, dtype=kind)


def some_axes(random: Random, rank: int, negative: bool = True) -> list[int]:
    """Some of `rank` axes, each once, in any order."""
    axes = random.permutation(rank)[: random.integer(1, rank)]
    return [int(a) - (rank if negative and random.integer(0, 1) else 0) for a in axes]


def as_input(values: Any) -> np.ndarray:
    return np.array(values, np.int64)


@example("Shape")
def shape(random: Random, version: int) -> Call:
    x = anything(random, rank=random.integer(0, 4))
    attributes = {}
    if version >= 15:
        names = random.choice((), ("start",), ("end",), ("start", "end"))
        attributes = {name: random.integer(-6, 6) for name in names}
    return Call([x], attributes)


@example("Size")
def size(random: Random, version: int) -> Call:
    return Call([anything(random, rank=random.integer(0, 4))])


@example("Identity")
def identity(random: Random, version: int) -> Call:
    return Call([anything(random, rank=random.integer(0, 4))])


@example("Reshape")
def reshape(random: Random, version: int) -> Call:
    a, b, c = random.shape(3)
    x = anything(random, a, b, c)
    target = random.choice(
        [a * b, c], [0, -1], [c, b, a], [-1], [a, 0, 1, -1], [0, 0, 0, 1], [1, -1, a], [0, c, b]
    )
    if version >= 14 and random.integer(0, 3) == 0:
        return Call(
            [np.zeros((a, 0, c), np.float32), as_input([0, a, b])], {"allowzero": 1}, constants=[1]
        )
    return Call([x, as_input(target)], constants=random.choice([], [1]))


@example("Flatten")
def flatten(random: Random, version: int) -> Call:
    types = TYPES if version >= 9 else TYPES[:3]
    x = anything(random, rank=random.integer(1, 4), types=types)
    axis = random.integer(-x.ndim if version >= 11 else 0, x.ndim)
    return Call([x], random.choice({}, {"axis": axis}))


@example("Squeeze")
def squeeze(random: Random, version: int) -> Call:
    sizes = [random.choice(1, 1, 3) for _ in range(random.integer(1, 5))]
    x = anything(random, *sizes)
    ones = [i for i, dim in enumerate(sizes) if dim == 1]
    if not ones or random.integer(0, 2) == 0:
        return Call([x])
    axes = ones[: random.integer(1, len(ones))]
    if version >= 11:
        axes = [a - random.choice(0, x.ndim) for a in axes]
    return Call([x, as_input(axes)]) if version >= 13 else Call([x], {"axes": axes})


@example("Unsqueeze")
def unsqueeze(random: Random, version: int) -> Call:
    x = anything(random, rank=random.integer(0, 3))
    count = random.integer(1, 3)
    rank = x.ndim + count
    axes = random.permutation(rank)[:count]
    if version >= 11:
        axes = [a - random.choice(0, rank) for a in axes]
    return Call([x, as_input(axes)]) if version >= 13 else Call([x], {"axes": axes})


@example("Transpose")
def transpose(random: Random, version: int) -> Call:
    x = anything(random, rank=random.integer(0, 5))
    perm = random.permutation(x.ndim)
    return Call([x], {"perm": perm} if x.ndim and random.integer(0, 3) else {})


@example("Concat")
def concat(random: Random, version: int) -> Call:
    first = anything(random, rank=random.integer(1, 4))
    axis = random.axis(first, negative=version >= 11)
    parts = [first]
    for _ in range(random.integer(0, 3)):
        repeated = np.repeat(first, random.integer(1, 2), axis)
        parts.append(np.flip(repeated, axis).copy())
    return Call(parts, {"axis": axis})


@example("Split")
def split(random: Random, version: int) -> Call:
    count = random.integer(1, 4)
    is_even = random.integer(0, 1) == 0
    sizes = [2] * count if is_even else [random.integer(0, 3) for _ in range(count)]
    dims = list(random.shape(random.integer(1, 4)))
    axis = random.integer(0, len(dims) - 1)
    dims[axis] = sum(sizes)
    types = TYPES
    x = anything(random, *dims, types=types)
    negative = axis - (len(dims) if version >= 11 and random.integer(0, 1) else 0)
    attributes: dict[str, Any] = {"axis": negative} if axis or random.integer(0, 1) else {}
    if version >= 18 and is_even:
        # The last part is smaller; every part but that has three elements.
        dims[axis] = 3 * count - (random.integer(0, 2) if count > 1 else 0)
        x = anything(random, *dims, types=types)
        return Call([x], attributes | {"num_outputs": count}, outputs=count)
    if is_even:
        return Call([x], attributes, outputs=count)
    if version >= 13:
        return Call([x, as_input(sizes)], attributes, outputs=count)
    return Call([x], attributes | {"split": sizes}, outputs=count)


@example("Expand")
def expand(random: Random, version: int) -> Call:
    full = random.shape(random.integer(0, 4))
    x = anything(random, *random.broadcastable(full))
    target = list(random.broadcastable(full)) if random.integer(0, 1) else list(full)
    return Call([x, as_input(target)], constants=random.choice([], [1]))


@example("Tile")
def tile(random: Random, version: int) -> Call:
    x = anything(random, rank=random.integer(0, 4))
    return Call([x, as_input([random.integer(0, 3) for _ in x.shape])])


@example("Pad")
def pad(random: Random, version: int) -> Call:
    mode = random.choice("constant", "reflect", "edge", *(["wrap"] if version >= 19 else []))
    types = (np.float32, np.float64)
    if version >= 13:
        types = (*types, np.int32, np.int64, np.int8, np.uint8, np.bool_)
    x = anything(random, *(random.integer(3, 6) for _ in range(random.integer(1, 5))), types=types)
    axes = list(range(x.ndim))
    if version >= 18 and random.integer(0, 1):
        axes = some_axes(random, x.ndim)
    pads = [random.integer(-1, 1 if mode == "reflect" else 4) for _ in range(2 * len(axes))]
    attributes: dict[str, Any] = random.choice({}, {"mode": mode}) if mode == "constant" else {}
    if mode != "constant":
        attributes["mode"] = mode
    value = anything(random, types=(x.dtype.type,))
    if version < 11:
        return Call([x], attributes | {"pads": pads} | random.choice({}, {"value": 1.5}))
    inputs = [x, as_input(pads), random.choice(None, value)]
    if axes != list(range(x.ndim)):
        return Call([*inputs, np.array(axes, random.choice(np.int32, np.int64))], attributes)
    return Call(inputs if inputs[2] is not None else inputs[:2], attributes)


@example("CenterCropPad")
def center_crop_pad(random: Random, version: int) -> Call:
    x = anything(random, rank=random.integer(1, 4), types=(np.float32, np.int32, np.bool_))
    if random.integer(0, 1):
        return Call([x, as_input([random.integer(1, 8) for _ in x.shape])])
    axes = some_axes(random, x.ndim)
    return Call([x, as_input([random.integer(1, 8) for _ in axes])], {"axes": axes})


@example("DepthToSpace")
def depth_to_space(random: Random, version: int) -> Call:
    batch, depth, height, width = random.shape(4, 3)
    block = random.integer(1, 3)
    x = anything(random, batch, depth * block**2, height, width, types=(np.float32, np.float64))
    modes = ({}, {"mode": "DCR"}, {"mode": "CRD"}) if version >= 11 else ({},)
    return Call([x], {"blocksize": block} | random.choice(*modes))


@example("SpaceToDepth")
def space_to_depth(random: Random, version: int) -> Call:
    batch, depth, height, width = random.shape(4, 3)
    block = random.integer(1, 3)
    x = anything(
        random, batch, depth, height * block, width * block, types=(np.float32, np.float64)
    )
    modes = ({}, {"mode": "DCR"}, {"mode": "CRD"}) if version >= 28 else ({},)
    return Call([x], {"blocksize": block} | random.choice(*modes))
