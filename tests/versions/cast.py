"""Calls of conversions between element types."""

import numpy as np
import onnx
from onnx import TensorProto

from tests.support.examples import Call, Random, example

INTEGERS = (
    np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
)  # fmt: skip
FLOATS = (np.float16, np.float32, np.float64)
NUMBERS = (*INTEGERS, *FLOATS, np.bool_)


def code(kind: type) -> int:
    return onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))


def numbers(random: Random, source: type, target: type) -> np.ndarray:
    """Numbers whose conversion ONNX defines: floats within an integer target's range."""
    dims = random.shape(random.integer(0, 3))
    if source is np.bool_:
        return np.asarray(random.bools(*dims))
    if source in FLOATS:
        low = 0.0 if target in INTEGERS and np.iinfo(target).min == 0 else -100.0
        x = random.floats(*dims, low=low, high=100.0, dtype=source)
        special = [np.nan, np.inf, -np.inf, -0.0] if target not in INTEGERS else [0.0]
        is_special = random.bools(*dims) & random.bools(*dims)
        return np.where(is_special, source(random.choice(*special)), x)
    limits = np.iinfo(source)
    return random.source.integers(limits.min, limits.max, dims, dtype=source, endpoint=True)


def texts(random: Random, target: type) -> np.ndarray:
    """Strings that hold numbers; a decimal for an integer is cut off, as ONNX Runtime does it."""
    choices = ["3", "100", "0", "-7", "100.5"]
    if target in FLOATS:
        choices += ["3.14", "1e-5", "1E3", "INF", "+inf", "-INF", "NaN", "-0"]
    if target is np.bool_ or (target in INTEGERS and np.iinfo(target).min == 0):
        choices = ["3", "100", "0"]
    return np.asarray(random.source.choice(choices, random.shape(2)), object)


def draw(random: Random, version: int) -> tuple[np.ndarray, type]:
    """An input and a target type."""
    kinds = (*NUMBERS, np.object_) if version >= 9 else NUMBERS
    source, target = random.choice(*kinds), random.choice(*kinds)
    if source is np.object_:
        # ONNX Runtime has no conversion between strings.
        target = random.choice(*NUMBERS)
        return texts(random, target), target
    x = numbers(random, source, target)
    if target is np.object_ and source in FLOATS:
        x = np.asarray(np.round(x, 2), source)
    return x, target


@example("Cast")
def cast(random: Random, version: int) -> Call:
    x, target = draw(random, version)
    return Call([x], {"to": TensorProto.STRING if target is np.object_ else code(target)})


@example("CastLike")
def cast_like(random: Random, version: int) -> Call:
    x, target = draw(random, version)
    return Call([x, np.zeros((1,), target) if target is not np.object_ else np.array([""], object)])


@example("BitCast")
def bit_cast(random: Random, version: int) -> Call:
    kinds = random.choice(
        (np.int8, np.uint8), (np.int16, np.uint16, np.float16), (np.int32, np.uint32, np.float32),
        (np.int64, np.uint64, np.float64),
    )  # fmt: skip
    x = random.integers(rank=random.integer(0, 3), low=0, high=100).astype(random.choice(*kinds))
    return Call([x], {"to": code(random.choice(*kinds))})
