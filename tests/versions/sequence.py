"""Calls of operators on sequences."""

import numpy as np
import onnx

from tests.support.examples import Call, Random, example

TYPES = (np.float32, np.float64, np.int32, np.int64, np.uint8)


def arrays(random: Random, low: int = 1) -> list[np.ndarray]:
    """A sequence of up to four arrays of one type and different shapes."""
    dtype = random.choice(*TYPES)
    return [
        random.integers(rank=random.integer(0, 3), low=0, high=9, dtype=dtype)
        for _ in range(random.integer(low, 4))
    ]


def position(random: Random, low: int, high: int) -> np.ndarray:
    """A scalar index."""
    return np.asarray(random.integer(low, high), dtype=random.choice(np.int32, np.int64))


@example("SequenceEmpty")
def sequence_empty(random: Random, version: int) -> Call:
    return Call([], random.choice({}, {"dtype": onnx.TensorProto.INT64}))


@example("SequenceConstruct")
def sequence_construct(random: Random, version: int) -> Call:
    return Call(arrays(random))


@example("SequenceInsert")
def sequence_insert(random: Random, version: int) -> Call:
    xs = arrays(random)
    x = random.integers(rank=2, dtype=xs[0].dtype, low=0)
    return Call([xs, x, random.choice(None, position(random, -len(xs), len(xs)))])


@example("SequenceAt")
def sequence_at(random: Random, version: int) -> Call:
    xs = arrays(random)
    return Call([xs, position(random, -len(xs), len(xs) - 1)])


@example("SequenceErase")
def sequence_erase(random: Random, version: int) -> Call:
    xs = arrays(random)
    return Call([xs, random.choice(None, position(random, -len(xs), len(xs) - 1))])


@example("SequenceLength")
def sequence_length(random: Random, version: int) -> Call:
    return Call([arrays(random)])


@example("SplitToSequence")
def split_to_sequence(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 3), dtype=random.choice(np.float32, np.float64))
    if random.choice(True, False):
        texts = np.array([f"text {i}" for i in range(x.size)], dtype=object).reshape(x.shape)
        x = random.choice(x, random.integers(*x.shape), texts)
    axis = random.axis(x)
    size = x.shape[axis]
    first = random.integer(0, size)
    split = random.choice(
        None,
        np.asarray(random.integer(1, size)),
        np.asarray([first, size - first]),
        np.asarray([size], dtype=np.int32),
    )
    # keepdims is ignored where split is given; ONNX Runtime fails there.
    attributes = {} if split is not None else {"keepdims": random.integer(0, 1)}
    return Call([x, split], {"axis": axis} | attributes)


@example("ConcatFromSequence")
def concat_from_sequence(random: Random, version: int) -> Call:
    shape = random.shape(random.integer(1, 3))
    dtype = random.choice(*TYPES)
    is_new = random.integer(0, 1)
    axis = random.integer(-len(shape) - is_new, len(shape) - 1 + is_new)
    xs = []
    for _ in range(random.integer(1, 4)):
        dims = list(shape)
        if not is_new:
            dims[axis] = random.integer(1, 4)
        xs.append(random.integers(*dims, dtype=dtype, low=0))
    return Call([xs], {"axis": axis} | ({"new_axis": 1} if is_new else {}))
