"""Calls of operators that make tensors."""

import numpy as np
from onnx import TensorProto

from tests.support.examples import Call, Random, example


@example("Constant")
def constant(random: Random, version: int) -> Call:
    rank = random.integer(0, 3)
    tensors = (
        random.floats(rank=rank),
        random.integers(rank=rank),
        np.asarray(random.bools(*random.shape(rank))),
        random.floats(rank=rank, dtype=np.float16),
        np.array(["a", "", "bc"], object),
    )
    values = [{"value": tensor} for tensor in (tensors if version >= 9 else tensors[:1])]
    if version >= 12:
        values += [
            {"value_float": -0.1}, {"value_floats": [1.5, -2.0]}, {"value_int": -3},
            {"value_ints": [1, 2, 3]}, {"value_string": "text"}, {"value_strings": ["a", "bc"]},
        ]  # fmt: skip
    return Call([], random.choice(*values))


@example("ConstantOfShape")
def constant_of_shape(random: Random, version: int) -> Call:
    dims = np.array([random.integer(0, 4) for _ in range(random.integer(0, 4))], np.int64)
    types = (np.float32, np.float64, np.float16, np.int8, np.int64, np.uint16, np.uint64, np.bool_)
    value = random.integers(1, low=0, high=9).astype(random.choice(*types))
    return Call([dims], random.choice({}, {"value": value}), constants=random.choice([], [0]))


@example("Range")
def range_(random: Random, version: int) -> Call:
    kind = random.choice(np.float32, np.float64, np.int16, np.int32, np.int64)
    is_float = np.dtype(kind).kind == "f"
    start = random.floats(low=0, high=9).astype(kind)
    step = random.floats(low=0.3, high=2) if is_float else random.integers(low=1, high=3)
    sign = random.choice(1, -1)
    limit = start + sign * random.integer(-2, 20)
    return Call([np.array(x, kind) for x in (start, limit, sign * step)])


@example("EyeLike")
def eye_like(random: Random, version: int) -> Call:
    kinds = (np.float32, np.float64, np.int32, np.int64, np.uint64)
    x = random.integers(rank=2, low=0).astype(random.choice(*kinds))
    codes = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT32, TensorProto.INT64)
    attributes = random.choice({}, {"dtype": random.choice(*codes)})
    return Call([x], attributes | random.choice({}, {"k": random.integer(-4, 4)}))
