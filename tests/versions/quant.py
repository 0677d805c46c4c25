"""Calls of quantization and of products of quantized numbers.

Inputs are multiples of a fraction of the scale, so that float32 leaves no doubt about a rounding.
"""

from typing import Any

import ml_dtypes
import numpy as np

from tests.support.examples import Call, Random, example

SMALL = (
    ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2,
    ml_dtypes.float8_e5m2fnuz,
)  # fmt: skip
"""Types that ONNX Runtime takes in initializers only."""


def types(version: int) -> tuple[Any, ...]:
    """The quantized types that ONNX Runtime gives to Python."""
    return (np.uint8, np.int8, *((np.uint16, np.int16) if version >= 21 else ()))


def scales(random: Random, x: np.ndarray, version: int) -> tuple[np.ndarray, dict[str, int]]:
    """Scales for the whole, for each index of an axis or for each block, and their attributes."""
    kind = random.choice("tensor", "axis", "block")
    if kind == "tensor" or version < 13:
        return np.asarray(random.floats(low=0.01, high=0.2)), {}
    axis = random.axis(x)
    if kind == "axis" or version < 21 or x.ndim == 1:
        return random.floats(x.shape[axis], low=0.01, high=0.2), {"axis": axis}
    size = random.integer(1, x.shape[axis])
    dims = list(x.shape)
    dims[axis] = -(-dims[axis] // size)
    return random.floats(*dims, low=0.01, high=0.2), {"axis": axis, "block_size": size}


def any_numbers(random: Random, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Integers of the type's whole range, or small floats."""
    if dtype in SMALL:
        return random.floats(*shape, low=-20, high=20).astype(dtype)
    limits = ml_dtypes.iinfo(dtype)
    low, high = int(limits.min), int(limits.max)
    return random.integers(*shape, low=low, high=high).astype(dtype)


@example("QuantizeLinear")
def quantize_linear(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4), low=-30, high=30)
    scale, attributes = scales(random, x, version)
    element = random.choice(None, *types(version))
    half = version >= 19 and random.integer(0, 2) == 0
    x, scale = (a.astype(np.float16 if half else np.float32) for a in (x, scale))
    if element is None:
        if version >= 21:
            attributes["output_dtype"] = random.choice(2, 3, 4, 5)
        return Call([x, scale], attributes)
    zero_point = any_numbers(random, scale.shape, element)
    if version >= 23 and random.integer(0, 1):
        attributes["precision"] = 10 if half else 1
    return Call([x, scale, zero_point], attributes)


@example("DequantizeLinear")
def dequantize_linear(random: Random, version: int) -> Call:
    element = random.choice(*types(version), np.int32, *(SMALL if version >= 19 else ()))
    if version >= 21 and random.integer(0, 3) == 0:
        element = random.choice(ml_dtypes.int4, ml_dtypes.uint4)
    shape = random.shape(random.integer(1, 4))
    x = any_numbers(random, shape, element)
    scale, attributes = scales(random, x, version)
    if version >= 19 and random.integer(0, 3) == 0:
        scale = scale.astype(np.float16)
    is_centered = element not in (np.int32, *SMALL) and random.integer(0, 1)
    zero_point = any_numbers(random, scale.shape, element) if is_centered else None
    constants = (0, 2) if element not in (*types(21), np.int32) else ()
    # A half-precision result is the exact one, rounded once.
    return Call([x, scale, zero_point], attributes, constants=constants, rtol=1e-6, atol=0)


@example("DynamicQuantizeLinear")
def dynamic_quantize_linear(random: Random, version: int) -> Call:
    low = random.choice(-5.0, 0.5, -7.0)
    x = random.floats(rank=random.integer(1, 4), low=low, high=low + 6)
    x = x * 0 if random.integer(0, 5) == 0 else x
    return Call([x], outputs=3, rtol=1e-6)


def pair(random: Random) -> tuple[np.ndarray, np.ndarray]:
    """Two 8-bit tensors that multiply as matrices."""
    rows, inner, columns = (random.integer(1, 6) for _ in range(3))
    batch = random.shape(random.integer(0, 2))
    a = any_numbers(random, (*batch, rows, inner), np.uint8)
    return a, factors(random, (*random.choice(batch, ()), inner, columns))


def factors(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that unsigned ones are multiplied by.

    Where the processor has no VNNI, ONNX Runtime adds the products of unsigned and signed numbers
    in pairs, in 16 bits, which 7 bits of the signed ones do not overflow.
    """
    if random.integer(0, 1):
        return any_numbers(random, shape, np.uint8)
    return random.integers(*shape, low=-64, high=63, dtype=np.int8)


@example("MatMulInteger")
def mat_mul_integer(random: Random, version: int) -> Call:
    a, b = pair(random)
    a_zero_point = random.choice(None, any_numbers(random, (), a.dtype.type))
    columns = random.choice((), b.shape[-1:]) if b.ndim == 2 else ()
    b_zero_point = random.choice(None, any_numbers(random, columns, b.dtype.type))
    return Call([a, b, a_zero_point, b_zero_point])


def parameters(
    random: Random, dtype: Any, shape: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Scales and zero points."""
    return np.asarray(random.floats(*shape, low=0.01, high=0.1)), any_numbers(random, shape, dtype)


@example("QLinearMatMul")
def q_linear_mat_mul(random: Random, version: int) -> Call:
    a, b = pair(random)
    columns = random.choice((), b.shape[-1:]) if b.ndim == 2 else ()
    y = parameters(random, a.dtype.type)
    return Call([
        a, *parameters(random, a.dtype.type),
        b, *parameters(random, b.dtype.type, columns), np.asarray(y[0] * 100), y[1],
    ])  # fmt: skip


def convolution(random: Random) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """An 8-bit image, weights, and attributes that fit them."""
    rank, group = random.integer(1, 3), random.integer(1, 2)
    kernel = random.shape(rank, high=3)
    strides, dilations = random.shape(rank, high=2), random.shape(rank, high=2)
    sizes = [5 + random.integer(0, 3) for _ in range(rank)]
    channels, outputs = random.integer(1, 3), random.integer(1, 3)
    x = any_numbers(random, (random.integer(1, 2), channels * group, *sizes), np.uint8)
    w = factors(random, (outputs * group, channels, *kernel))
    attributes = {"group": group, "strides": strides, "dilations": dilations}
    if random.integer(0, 1):
        attributes["kernel_shape"] = kernel
    if random.integer(0, 1):
        attributes["pads"] = random.integers(2 * rank, low=0, high=2).tolist()
    else:
        attributes["auto_pad"] = random.choice("VALID", "SAME_UPPER", "SAME_LOWER", "NOTSET")
    if attributes.get("auto_pad", "").startswith("SAME"):  # which ONNX Runtime does not dilate
        del attributes["dilations"]
    return x, w, attributes


@example("ConvInteger")
def conv_integer(random: Random, version: int) -> Call:
    x, w, attributes = convolution(random)
    zero_points = [
        random.choice(None, any_numbers(random, (), x.dtype.type)),
        random.choice(None, any_numbers(random, (), w.dtype.type)),
    ]
    return Call([x, w, *zero_points], attributes)


@example("QLinearConv")
def q_linear_conv(random: Random, version: int) -> Call:
    x, w, attributes = convolution(random)
    channels = random.choice((), w.shape[:1])
    y_scale, y_zero_point = parameters(random, x.dtype.type)
    # ONNX Runtime wants one zero point for all channels of unsigned weights.
    w_scale, w_zero_point = parameters(random, w.dtype.type, channels)
    bias = random.choice(None, random.integers(len(w), low=-9999, high=9999, dtype=np.int32))
    w_zero_point = np.full_like(w_zero_point, w_zero_point.max())
    inputs = [
        x, *parameters(random, x.dtype.type), w, w_scale, w_zero_point,
        np.asarray(y_scale * 100), y_zero_point, bias,
    ]  # fmt: skip
    return Call(inputs, attributes)
