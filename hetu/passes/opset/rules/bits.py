"""Operators on bits: where a version lacks them, what they do to each bit."""

import numpy as np

from hetu.ir import Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite, constant_data
from hetu.passes.opset.rule import Results, down
from hetu.types import BOOL, INT64, dtype

UINT64 = dtype("uint64")


def bit_by_bit(rewrite: Rewrite) -> Results:
    """Truth values along a new last axis; weighted by what each bit counts, they are numbers."""
    element = rewrite.dtype(rewrite.given(0))
    places = np.arange(element.bits, dtype=np.uint64)
    weights = (np.uint64(1) << places).view(np.int64)
    if element.numpy.kind == "i":
        weights[-1] = -(2 ** (element.bits - 1))
    operands = [_bits(rewrite, rewrite.given(index), places) for index in (0, 1)]
    chosen = rewrite.op(rewrite.node.op_type.removeprefix("Bitwise"), *operands)
    # ONNX Runtime sums integers as doubles; a product of matrices is exact
    return rewrite.cast(rewrite.op("MatMul", rewrite.cast(chosen, INT64), weights), element)


for _op_type in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    down(_op_type, 18)(bit_by_bit)


def _bits(rewrite: Rewrite, x: Value, places: np.ndarray) -> Value:
    wide = rewrite.op("Unsqueeze", rewrite.cast(x, UINT64), [-1])
    shifted = rewrite.op("BitShift", wide, places, direction="RIGHT")
    return rewrite.cast(rewrite.op("Mod", shifted, np.uint64(2)), BOOL)


@down("BitwiseNot", 18)
def complement(rewrite: Rewrite) -> Results:
    x = rewrite.given(0)
    return rewrite.cast(_complement(rewrite, rewrite.cast(x, INT64)), rewrite.dtype(x))


def _complement(rewrite: Rewrite, x: Value) -> Value:
    return rewrite.op("Sub", np.int64(-1), x)


@down("BitShift", 28)
def shift(rewrite: Rewrite) -> Results:
    """Until opset 28 only unsigned integers were shifted, and by less than their bits.

    Of a negative number the complement, which is none, is shifted to the right.
    """
    x, distance = rewrite.given(0), rewrite.given(1)
    element, known = rewrite.dtype(x), constant_data(distance)
    if element.numpy.kind == "u" and known is not None and np.all(known < element.bits):
        return plain(rewrite)
    distance = rewrite.cast(distance, INT64)
    is_short = rewrite.op(
        "And",
        rewrite.op("GreaterOrEqual", distance, np.int64(0)),
        rewrite.op("Less", distance, np.int64(element.bits)),
    )
    distance = rewrite.cast(rewrite.op("Where", is_short, distance, np.int64(0)), UINT64)
    if element.numpy.kind == "u" or rewrite.attribute("direction") == "LEFT":
        return rewrite.cast(_shifted(rewrite, x, distance, is_short), element)
    wide = rewrite.cast(x, INT64)
    is_negative = rewrite.op("Less", wide, np.int64(0))
    magnitude = rewrite.op("Where", is_negative, _complement(rewrite, wide), wide)
    number = _shifted(rewrite, magnitude, distance, is_short)
    number = rewrite.op("Where", is_negative, _complement(rewrite, number), number)
    return rewrite.cast(number, element)


def _shifted(rewrite: Rewrite, x: Value, distance: Value, is_short: Value) -> Value:
    """A number that is not negative, or whose sign does not matter; nothing is left of far ones."""
    direction = rewrite.attribute("direction")
    shifted = rewrite.op("BitShift", rewrite.cast(x, UINT64), distance, direction=direction)
    return rewrite.op("Where", is_short, rewrite.cast(shifted, INT64), np.int64(0))


@down("BitCast", 26)
def reinterpret(rewrite: Rewrite) -> Results:
    """Integers of the same bits differ by their sign: a Cast wraps them around."""
    x, element = rewrite.given(0), dtype(rewrite.attribute("to"))
    old = rewrite.dtype(x)
    is_integer = old.numpy.kind in "biu" and element.numpy.kind in "iu"
    if old is not element and not (is_integer and old.bits == element.bits):
        rewrite.fail(f"nothing before opset 26 takes the bits of {old.name} for {element.name}")
    return rewrite.cast(x, element)
