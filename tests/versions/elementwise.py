"""Calls of arithmetic, trigonometric functions, comparison, selection, logic and bits."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example
from tests.support.numbers import (
    FLOATS,
    INTEGERS,
    NUMBERS,
    SIGNED,
    UNSIGNED,
    close,
    integers,
    numbers,
    shape,
    with_special,
)

SINGLE = (np.float32, np.float16)
"""The only types of operators that ONNX Runtime has no float64 kernel of."""


def pair(random: Random, dtype: Any) -> list[np.ndarray]:
    """Two tensors that broadcast to each other."""
    dims = shape(random)
    return [
        with_special(random, numbers(random, random.broadcastable(dims), dtype)) for _ in range(2)
    ]


def unary(low: float, high: float, dtypes: Sequence[Any], random: Random, version: int) -> Call:
    x = numbers(random, shape(random), random.choice(*dtypes), low, high)
    return close([x])


for _name, _low, _high, _dtypes in (
    ("Sqrt", 0, 9, FLOATS), ("Exp", -5, 5, FLOATS), ("Log", 0.01, 9, FLOATS),
    ("Reciprocal", 0.1, 9, FLOATS), ("Erf", -3, 3, SINGLE), ("Sin", -9, 9, FLOATS),
    ("Cos", -9, 9, FLOATS), ("Tan", -1.5, 1.5, SINGLE), ("Asin", -1, 1, SINGLE),
    ("Acos", -1, 1, SINGLE), ("Atan", -9, 9, SINGLE), ("Sinh", -4, 4, SINGLE),
    ("Cosh", -4, 4, SINGLE), ("Asinh", -9, 9, SINGLE), ("Acosh", 1, 9, SINGLE),
    ("Atanh", -0.99, 0.99, SINGLE),
):  # fmt: skip
    example(_name)(partial(unary, _low, _high, _dtypes))


def exact(dtypes: Sequence[Any], random: Random, version: int) -> Call:
    """An operator whose result no rounding touches; halves are among the numbers."""
    dtype = random.choice(*dtypes)
    x = numbers(random, shape(random), dtype, -9, 9)
    x = np.where(random.bools(*x.shape), x, np.rint(2 * x) / 2).astype(dtype)
    return Call([with_special(random, x)], rtol=0, atol=0)


for _name, _dtypes in (
    ("Neg", (*FLOATS, *SIGNED)), ("Abs", NUMBERS), ("Floor", FLOATS), ("Ceil", FLOATS),
    ("Round", FLOATS),
):  # fmt: skip
    example(_name)(partial(exact, _dtypes))


@example("Sign")
def sign(random: Random, version: int) -> Call:
    # ONNX Runtime gives 0 for NaN in float16, NaN in the other types
    return exact([dtype for dtype in NUMBERS if dtype is not np.float16], random, version)


def arithmetic(random: Random, version: int) -> Call:
    wide = (np.int32, np.int64, np.uint32, np.uint64)
    dtype = random.choice(*FLOATS, *(INTEGERS if version >= 14 else wide))
    return close(pair(random, dtype), steps=1)


for _name in ("Add", "Sub", "Mul"):
    example(_name)(arithmetic)


def divisor(random: Random, dims: Sequence[int], dtype: Any) -> np.ndarray:
    """Integers other than 0, small ones or of any size, and -1 only where nothing can overflow."""
    b = integers(random, dims, dtype)
    b = np.where(random.bools(*b.shape), b, b % np.asarray(9, dtype))
    return np.where((b == 0) | (b == np.asarray(-1).astype(dtype)), 3, b).astype(dtype)


@example("Div")
def div(random: Random, version: int) -> Call:
    call = arithmetic(random, version)
    a, b = call.inputs
    assert a is not None and b is not None
    if b.dtype.kind in "iu":
        return Call([a, divisor(random, b.shape, b.dtype)])
    return close([a, np.where(b == 0, 1, b).astype(b.dtype)])


@example("Mod")
def mod(random: Random, version: int) -> Call:
    dtype = random.choice(*NUMBERS)
    a, b = pair(random, dtype)
    if dtype in INTEGERS:
        # fmod of large integers is left out: ONNX Runtime computes it in float64
        fmod = random.integer(0, 1) if a.itemsize < 8 else 0
        return Call([a, divisor(random, b.shape, dtype)], {"fmod": fmod})
    # of floats, version 28 brings fmod=0
    return Call([a, b], {"fmod": random.integer(0, 1) if version >= 28 else 1}, rtol=0, atol=0)


@example("Pow")
def pow_(random: Random, version: int) -> Call:
    x_type = random.choice(*FLOATS) if version < 12 else random.choice(*FLOATS, np.int32, np.int64)
    mixed = (np.float32, np.float64, np.int32, np.int64)
    y_type = random.choice(*mixed) if version >= 12 and x_type in mixed else x_type
    dims = shape(random)
    x_dims, y_dims = random.broadcastable(dims), random.broadcastable(dims)
    if x_type in FLOATS:
        x = random.floats(*x_dims, low=0.2, high=3, dtype=x_type)
    else:
        x = random.integers(*x_dims, low=1, high=4, dtype=x_type)
    if y_type in FLOATS:
        y = random.floats(*y_dims, low=-2, high=3, dtype=y_type)
    else:
        # ONNX Runtime computes the powers of integers in float64 and takes the integer below them
        y = random.integers(*y_dims, low=0 if x_type not in FLOATS else -3, high=5, dtype=y_type)
        x = np.asarray(x * random.source.choice([-1, 1], x.shape).astype(x_type))
    return close([x, y])


def several(random: Random, dtype: Any, broadcast: bool) -> list[np.ndarray]:
    dims = shape(random)
    count = random.integer(1, 4)
    return [
        with_special(
            random, numbers(random, random.broadcastable(dims) if broadcast else dims, dtype)
        )
        for _ in range(count)
    ]


@example("Sum")
def sum_(random: Random, version: int) -> Call:
    return close(several(random, random.choice(*FLOATS), version >= 8), steps=16)


@example("Mean")
def mean(random: Random, version: int) -> Call:
    return close(several(random, random.choice(*SINGLE), version >= 8), steps=16)


def extremum(random: Random, version: int) -> Call:
    dtypes: tuple[Any, ...] = FLOATS if version >= 8 else SINGLE
    if version >= 12:
        dtypes = (*FLOATS, np.int8, np.int32, np.int64, np.uint8, np.uint32, np.uint64)
    return Call(several(random, random.choice(*dtypes), version >= 8), rtol=0, atol=0)


example("Max")(extremum)
example("Min")(extremum)


@example("Clip")
def clip(random: Random, version: int) -> Call:
    x = numbers(random, shape(random), random.choice(*_clip_types(version)))
    bounds = [numbers(random, (), x.dtype) if random.integer(0, 3) else None for _ in range(2)]
    if version >= 11:
        return Call([x, *bounds], rtol=0, atol=0)
    # ONNX Runtime refuses a minimum over the maximum where they are attributes
    given = sorted(float(bound) for bound in bounds if bound is not None)
    names = ["min", "max"] if len(given) == 2 else [random.choice("min", "max")]
    attributes = dict(zip(names, given, strict=False))
    return Call([x], attributes, rtol=0, atol=0)


def _clip_types(version: int) -> tuple[Any, ...]:
    if version < 12:
        return SINGLE
    return (*FLOATS, np.int8, np.int32, np.int64, np.uint8, np.uint32, np.uint64)


@example("Equal")
def equal(random: Random, version: int) -> Call:
    kinds = (np.bool_, np.int32, np.int64)
    if version >= 11:
        kinds = (np.bool_, *NUMBERS, *([np.str_] if version >= 19 else []))
    dtype = random.choice(*kinds)
    dims = shape(random)
    # few different values, so that some are equal
    values = (
        random.integers(*random.broadcastable(dims), low=0, high=2).astype(dtype) for _ in range(2)
    )
    return Call([x.astype(object) if dtype is np.str_ else x for x in values])


def order(oldest_integer: int, random: Random, version: int) -> Call:
    a, b = pair(random, random.choice(*(NUMBERS if version >= oldest_integer else FLOATS)))
    if a.shape == b.shape:
        a = np.where(random.bools(*a.shape), a, b)
    return Call([a, b])


for _name in ("Less", "Greater", "LessOrEqual", "GreaterOrEqual"):
    example(_name)(partial(order, 9))


@example("IsInf")
def is_inf(random: Random, version: int) -> Call:
    # ONNX Runtime's Python interface takes no arrays of bfloat16 and float8
    dtype = random.choice(*(FLOATS if version >= 20 else (np.float32, np.float64)))
    x = with_special(random, random.floats(*shape(random), dtype=dtype))
    names = ("detect_negative", "detect_positive")
    return Call([x], {name: random.integer(0, 1) for name in names if random.integer(0, 2)})


@example("IsNaN")
def is_nan(random: Random, version: int) -> Call:
    dtype = random.choice(*FLOATS)
    return Call([with_special(random, random.floats(*shape(random), dtype=dtype))])


@example("Where")
def where(random: Random, version: int) -> Call:
    types = (*FLOATS, np.int8, np.int32, np.int64, np.uint8, np.uint32, np.str_)
    dtype = random.choice(*types)
    dims = shape(random)
    x, y = (
        random.integers(*random.broadcastable(dims), low=0, high=9).astype(dtype) for _ in range(2)
    )
    if dtype is np.str_:
        x, y = x.astype(object), y.astype(object)
    return Call([random.bools(*random.broadcastable(dims)), x, y])


def logic(random: Random, version: int) -> Call:
    dims = shape(random)
    return Call([random.bools(*random.broadcastable(dims)) for _ in range(2)])


for _name in ("And", "Or", "Xor"):
    example(_name)(logic)


@example("Not")
def not_(random: Random, version: int) -> Call:
    return Call([random.bools(*shape(random))])


def bitwise(random: Random, version: int) -> Call:
    return Call(pair(random, random.choice(*INTEGERS)))


for _name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    example(_name)(bitwise)


@example("BitwiseNot")
def bitwise_not(random: Random, version: int) -> Call:
    return Call([integers(random, shape(random), random.choice(*INTEGERS))])


@example("BitShift")
def bit_shift(random: Random, version: int) -> Call:
    x, y = pair(random, random.choice(*(INTEGERS if version >= 28 else UNSIGNED)))
    # before version 28, nothing is said of shifts by the type's width or more
    if version < 28 or random.integer(0, 1):
        y = np.asarray(y % np.asarray(8 * x.itemsize, y.dtype))
    return Call([x, y], {"direction": random.choice("LEFT", "RIGHT")})
