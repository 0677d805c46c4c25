"""QuantizeLinear and DequantizeLinear; where a version lacks types or blocks, their arithmetic."""

import numpy as np

from hetu.ir import Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite, constant_data
from hetu.passes.opset.rule import Results, down, up
from hetu.types import FLOAT32, DType, dtype

UINT8 = dtype("uint8")
_BYTES = {"int2": "int8", "int4": "int8", "uint2": "uint8", "uint4": "uint8"}
_LIMITED = ("int8", "uint8", "int16", "uint16")
"""The types of results that arithmetic can make before opset 21."""


@up("QuantizeLinear", 19)
def quantize_integers(rewrite: Rewrite) -> Results:
    """Integers were divided by a float; from here on both are of one type."""
    x, scale, zero_point = rewrite.given(0), rewrite.given(1), rewrite.input(2)
    if rewrite.schemas.type_name(x) == "tensor(int32)":
        x = rewrite.cast(x, FLOAT32)
    return plain(rewrite, [x, scale, zero_point])


@up("QuantizeLinear", 23)
def quantize_in_float32(rewrite: Rewrite) -> Results:
    """The division was made in float32 at least; from here on in the type of the scale."""
    is_half = rewrite.dtype(rewrite.given(1)).bits < FLOAT32.bits
    return rewrite.keep(precision=FLOAT32.code) if is_half else plain(rewrite)


@down("QuantizeLinear", 23)
def quantize_in_one_type(rewrite: Rewrite) -> Results:
    """The division is made in the type of the scale, which was that of the data.

    A division in fewer bits than float32 goes before, as that version divides in float32.
    """
    x, scale, *zero_point = rewrite.node.inputs
    assert x is not None and scale is not None
    precision = rewrite.attribute("precision", 0)
    if precision and precision != rewrite.dtype(scale).code:
        scale = rewrite.cast(scale, dtype(precision))
    element = rewrite.dtype(scale)
    if rewrite.dtype(x) is not element:
        x = rewrite.cast(x, dtype(precision) if precision else element)
    if element.bits < FLOAT32.bits:
        quotient = rewrite.op("Div", x, _spread(rewrite, scale, x))
        x, one = rewrite.cast(quotient, FLOAT32), np.ones(1, np.float32)
        scale = rewrite.op("ConstantOfShape", rewrite.op("Shape", scale), value=one)
    return rewrite.keep([x, scale, *zero_point], without=("precision",))


@down("QuantizeLinear", 21)
def quantize(rewrite: Rewrite) -> Results:
    """In versions before blocks and 16 bits: divided, rounded, shifted, clipped."""
    x, scale, zero_point = rewrite.given(0), rewrite.given(1), rewrite.input(2)
    code = rewrite.attribute("output_dtype", 0)
    element = rewrite.dtype(zero_point) if zero_point else dtype(code) if code else UINT8
    block_size = rewrite.attribute("block_size", 0)
    if not block_size and element.name in ("int8", "uint8"):
        zero = zero_point or (_zero_point(rewrite, scale, element) if code else None)
        return rewrite.keep([x, scale, zero], without=("output_dtype", "block_size"))
    if element.name not in _LIMITED:
        return plain(rewrite)
    limits = np.iinfo(element.numpy)
    wide = rewrite.dtype(scale)
    if wide.bits < 32:  # which does not hold all numbers of 16 bits
        wide = FLOAT32
        x, scale = (rewrite.cast(value, wide) for value in (x, scale))
    y = rewrite.op("Round", rewrite.op("Div", x, _spread(rewrite, scale, x)))
    if zero_point is not None:
        shift = rewrite.cast(zero_point, wide)
        y = rewrite.op("Add", y, _spread(rewrite, shift, x))
    bounds = [rewrite.constant(limit, wide) for limit in (limits.min, limits.max)]
    return rewrite.op("Cast", rewrite.op("Clip", y, *bounds), to=element.code)


def _zero_point(rewrite: Rewrite, scale: Value, element: DType) -> Value:
    """Zeros, which say the type of the result."""
    zero = np.zeros(1, element.numpy)
    return rewrite.op("ConstantOfShape", rewrite.op("Shape", scale), value=zero)


@down("QuantizeLinear", 19)
def quantize_floats(rewrite: Rewrite) -> Results:
    """Only float32 was divided, and only integers were made: nothing but those is saturated."""
    x, scale, *zero_point = (rewrite.input(index) for index in range(3))
    halves = ("float16", "bfloat16")
    x, scale = (
        rewrite.cast(value, FLOAT32) if value and rewrite.dtype(value).name in halves else value
        for value in (x, scale)
    )
    return rewrite.keep([x, scale, *zero_point], without=("saturate",))


@down("DequantizeLinear", 23)
def dequantize_to_scale(rewrite: Rewrite) -> Results:
    """The result was of the type of the scale."""
    x, scale, *zero_point = rewrite.node.inputs
    assert scale is not None
    code = rewrite.attribute("output_dtype", 0)
    if code and code != rewrite.dtype(scale).code:
        scale = rewrite.cast(scale, dtype(code))
    return rewrite.keep([x, scale, *zero_point], without=("output_dtype",))


@down("DequantizeLinear", 21)
def dequantize(rewrite: Rewrite) -> Results:
    """In versions before blocks and 16 bits: shifted and multiplied; constants of 4 bits get 8."""
    x, scale, zero_point = _in_bytes(rewrite, 0), rewrite.given(1), _in_bytes(rewrite, 2)
    assert x is not None
    element = rewrite.dtype(x if zero_point is None else zero_point)
    if not rewrite.attribute("block_size", 0) and element.name not in ("int16", "uint16"):
        return plain(rewrite, [x, scale, zero_point])
    wide = rewrite.dtype(scale)
    y = rewrite.cast(x, wide)
    if zero_point is not None:
        shift = rewrite.cast(zero_point, wide)
        y = rewrite.op("Sub", y, _spread(rewrite, shift, x))
    return rewrite.op("Mul", y, _spread(rewrite, scale, x))


def _in_bytes(rewrite: Rewrite, index: int) -> Value | None:
    """An input; a constant of elements smaller than a byte as one of bytes."""
    value = rewrite.input(index)
    data = constant_data(value)
    wide = _BYTES.get(data.dtype.name) if data is not None else None
    return value if wide is None else rewrite.constant(data, dtype(wide))


def _spread(rewrite: Rewrite, parameter: Value, x: Value) -> Value:
    """A scale or zero point as it stands beside each element: one, one per index, or per block."""
    if rewrite.rank(parameter) == 0:
        return parameter
    rank = rewrite.rank(x)
    axis = rewrite.attribute("axis", 1) % rank
    block_size = rewrite.attribute("block_size", 0)
    if block_size:
        length = rewrite.op("Gather", rewrite.op("Shape", x), np.int64(axis))
        positions = rewrite.op("Range", np.int64(0), length, np.int64(1))
        blocks = rewrite.op("Div", positions, np.int64(block_size))
        return rewrite.op("Gather", parameter, blocks, axis=axis)
    trailing = rank - axis - 1
    axes = list(range(1, 1 + trailing))
    return rewrite.op("Unsqueeze", parameter, axes) if axes else parameter
