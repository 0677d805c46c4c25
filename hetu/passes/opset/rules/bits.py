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
    """Until opset 28 only unsigned integers were shifted, and by less than their bits."""
    x, known = rewrite.given(0), constant_data(rewrite.given(1))
    element = rewrite.dtype(x)
    is_signed = element.numpy.kind == "i"
    if not is_signed and known is not None and np.all(known < element.bits):
        return plain(rewrite)
    if is_signed and rewrite.attribute("direction") == "RIGHT":
        return rewrite.cast(_shifted_with_sign(rewrite, rewrite.cast(x, INT64)), element)
    return rewrite.cast(_shifted(rewrite, x), element)


def _shifted_with_sign(rewrite: Rewrite, x: Value) -> Value:
    """To the right; of a negative number the complement, which is none, is shifted."""
    is_negative = rewrite.op("Less", x, np.int64(0))
    magnitude = rewrite.op("Where", is_negative, _complement(rewrite, x), x)
    shifted = _shifted(rewrite, magnitude)
    return rewrite.op("Where", is_negative, _complement(rewrite, shifted), shifted)


def _shifted(rewrite: Rewrite, x: Value) -> Value:
    """Bits moved without regard to a sign; nothing is left of those moved by too much."""
    bits, distance = rewrite.dtype(rewrite.given(0)).bits, rewrite.cast(rewrite.given(1), INT64)
    is_far = rewrite.op(
        "Or",
        rewrite.op("Less", distance, np.int64(0)),
        rewrite.op("GreaterOrEqual", distance, np.int64(bits)),
    )
    distance = rewrite.cast(rewrite.op("Where", is_far, np.int64(0), distance), UINT64)
    direction = rewrite.attribute("direction")
    moved = rewrite.op("BitShift", rewrite.cast(x, UINT64), distance, direction=direction)
    return rewrite.op("Where", is_far, np.int64(0), rewrite.cast(moved, INT64))


@down("BitCast", 26)
def reinterpret(rewrite: Rewrite) -> Results:
    """Integers of the same bits differ by their sign: a Cast wraps them around."""
    x, element = rewrite.given(0), dtype(rewrite.attribute("to"))
    old = rewrite.dtype(x)
    is_integer = old.numpy.kind in "biu" and element.numpy.kind in "iu"
    if old is not element and not (is_integer and old.bits == element.bits):
        rewrite.fail(f"nothing before opset 26 takes the bits of {old.name} for {element.name}")
    return rewrite.cast(x, element)
