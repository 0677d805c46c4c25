"""Calls of quantized operators of com.microsoft.

Where results are integers, scales are powers of two, so that float32 leaves no doubt about a
rounding.
"""

from typing import Any

import ml_dtypes
import numpy as np

from tests.support.examples import Call, Random, example

DOMAIN = "com.microsoft"
EIGHT_BITS = (np.uint8, np.int8)


def codes(random: Random, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Numbers of the whole range of a type of 8 bits or less."""
    limits = ml_dtypes.iinfo(dtype)
    numbers = random.integers(*shape, low=int(limits.min), high=int(limits.max))
    return np.asarray(numbers).astype(dtype)


def factors(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    """Weights that unsigned numbers are multiplied by.

    Where the processor has no VNNI, ONNX Runtime adds the products of unsigned and signed numbers
    in pairs, in 16 bits, which 7 bits of the signed ones do not overflow.
    """
    if random.integer(0, 1):
        return codes(random, shape, np.uint8)
    return random.integers(*shape, low=-64, high=63, dtype=np.int8)


def power(random: Random, low: int, high: int) -> np.ndarray:
    """A power of two as a scale."""
    return np.array(2.0 ** random.integer(low, high), np.float32)


def middle(random: Random, dtype: Any, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Even zero points, to which rounding to even adds up before as it does after."""
    zero = 128 if dtype == np.uint8 else 0
    return np.asarray(random.integers(*shape, low=-20, high=20) * 2 + zero).astype(dtype)


def tensor(random: Random, shape: tuple[int, ...], dtype: Any, low: int = -7) -> list[Any]:
    """8-bit numbers, their scale and their zero point.

    ONNX Runtime's type inference wants zero points that its schemas say are optional.
    """
    return [codes(random, shape, dtype), power(random, low, -4), middle(random, dtype)]


@example("QuantizeLinear", domain=DOMAIN)
def quantize_linear(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4), low=-30, high=30)
    element = random.choice(np.uint8, np.int8, np.uint16, np.int16)
    axis = random.axis(x)
    size = random.choice((), (x.shape[axis],))
    scale = np.asarray(random.floats(*size, low=0.01, high=0.2))
    zero_point = np.asarray(random.integers(*size, low=0, high=127)).astype(element)
    attributes = {"axis": axis} if size else {}
    if element is np.uint8 and not size:
        return Call([x, scale, random.choice(None, zero_point)], attributes)
    return Call([x, scale, zero_point], attributes)


@example("DequantizeLinear", domain=DOMAIN)
def dequantize_linear(random: Random, version: int) -> Call:
    element = random.choice(np.uint8, np.int8, np.uint16, np.int16, np.int32)
    x = random.integers(rank=random.integer(1, 4), low=0, high=127).astype(element)
    axis = random.axis(x)
    size = random.choice((), (x.shape[axis],))
    scale = np.asarray(random.floats(*size, low=0.01, high=0.2))
    zero_point = np.asarray(random.integers(*size, low=0, high=127)).astype(element)
    zero_point = None if element is np.int32 else random.choice(None, zero_point)
    return Call([x, scale, zero_point], {"axis": axis} if size else {}, rtol=1e-6)


def matrices(random: Random) -> tuple[tuple[int, ...], np.ndarray]:
    """The shape of a batch of matrices, and weights that they are multiplied by."""
    rows, inner, columns = (random.integer(1, 6) for _ in range(3))
    batch = random.shape(random.integer(0, 2))
    return (*batch, rows, inner), factors(random, (inner, columns))


@example("DynamicQuantizeMatMul", domain=DOMAIN)
def dynamic_quantize_mat_mul(random: Random, version: int) -> Call:
    shape, b = matrices(random)
    size = random.choice((), b.shape[-1:])
    zero_point = random.choice(None, codes(random, size, b.dtype.type))
    bias = random.choice(None, random.floats(b.shape[-1]))
    scale = np.asarray(random.floats(*size, low=0.001, high=0.01))
    return Call([random.floats(*shape), b, scale, zero_point, bias])


@example("MatMulIntegerToFloat", domain=DOMAIN)
def mat_mul_integer_to_float(random: Random, version: int) -> Call:
    shape, b = matrices(random)
    size = random.choice((), b.shape[-1:])
    a = codes(random, shape, np.uint8)
    zero_points = [codes(random, (), np.uint8), codes(random, size, b.dtype.type)]
    scales = [np.asarray(random.floats(*s, low=0.01, high=0.1)) for s in ((), size)]
    bias = random.choice(None, random.floats(b.shape[-1]))
    return Call([a, b, *scales, *random.choice([None, None], zero_points), bias])


@example("QGemm", domain=DOMAIN)
def q_gemm(random: Random, version: int) -> Call:
    rows, inner, columns = (random.integer(1, 6) for _ in range(3))
    turned = {"transA": random.integer(0, 1), "transB": random.integer(0, 1)}
    a = codes(random, (inner, rows) if turned["transA"] else (rows, inner), np.uint8)
    b = factors(random, (columns, inner) if turned["transB"] else (inner, columns))
    size = random.choice((), (columns,))
    b_scale = np.asarray(2.0 ** random.integers(*size, low=-9, high=-6), np.float32)
    c = random.choice(
        None, random.integers(*random.choice((rows, columns), (columns,), (1, columns)),
                              low=-9999, high=9999, dtype=np.int32),
    )  # fmt: skip
    inputs = [
        a, power(random, -9, -6), codes(random, (), np.uint8),
        b, b_scale, codes(random, size, b.dtype.type), c,
    ]  # fmt: skip
    attributes = {**turned, "alpha": random.choice(1.0, 0.5)}
    if random.integer(0, 1):
        return Call([*inputs, power(random, -6, -2), middle(random, np.uint8)], attributes)
    return Call(inputs, attributes)


@example("QLinearConv", domain=DOMAIN)
def q_linear_conv(random: Random, version: int) -> Call:
    group, channels, outputs = random.integer(1, 2), random.integer(1, 3), random.integer(1, 3)
    x = codes(random, (2, channels * group, 6, 7), np.uint8)
    w = factors(random, (outputs * group, channels, 3, 2))
    attributes = {"group": group, "strides": [random.integer(1, 2), 1]}
    attributes |= random.choice({"pads": [1, 0, 2, 1]}, {"auto_pad": "SAME_UPPER"})
    if random.integer(0, 1):
        x, attributes["channels_last"] = np.ascontiguousarray(np.moveaxis(x, 1, -1)), 1
    bias = random.choice(None, random.integers(len(w), low=-9999, high=9999, dtype=np.int32))
    return Call([
        x, power(random, -9, -7), codes(random, (), np.uint8),
        w, power(random, -9, -7), codes(random, (), w.dtype.type),
        power(random, -7, -4), middle(random, np.uint8), bias,
    ], attributes)  # fmt: skip


@example("DynamicQuantizeLSTM", domain=DOMAIN)
def dynamic_quantize_lstm(random: Random, version: int) -> Call:
    steps, batch, inputs, hidden = (random.integer(1, 4) for _ in range(4))
    direction = random.choice("forward", "reverse", "bidirectional")
    directions = 2 if direction == "bidirectional" else 1
    kind = random.choice(*EIGHT_BITS)
    low, high = (0, 255) if kind is np.uint8 else (-64, 63)
    weights = [
        random.integers(directions, size, 4 * hidden, low=low, high=high).astype(kind)
        for size in (inputs, hidden)
    ]
    size = random.choice((directions,), (directions, 4 * hidden))
    zero_point = np.full(size, 128 if kind is np.uint8 else 0, kind)
    scales = [random.floats(*size, low=0.002, high=0.01) for _ in range(2)]
    b = random.choice(None, random.floats(directions, 8 * hidden, low=-1, high=1))
    # Of shorter sequences, ONNX Runtime quantizes what it has in place of their missing steps too.
    lengths = random.choice(None, np.full(batch, steps, np.int32))
    state = (directions, batch, hidden)
    h, c = (random.choice(None, random.floats(*state, low=-1, high=1)) for _ in range(2))
    p = random.choice(None, random.floats(directions, 3 * hidden, low=-1, high=1))
    call = [
        random.floats(steps, batch, inputs), *weights, b, lengths, h, c, p,
        scales[0], zero_point, scales[1], zero_point,
    ]  # fmt: skip
    attributes = {"hidden_size": hidden, "direction": direction}
    return Call(call, attributes, outputs=3, constants=(1, 2))


@example("QAttention", domain=DOMAIN)
def q_attention(random: Random, version: int) -> Call:
    batch, length, inputs, heads, head = (random.integer(1, 4) for _ in range(5))
    x = codes(random, (batch, length, inputs), np.uint8)
    w = factors(random, (inputs, 3 * heads * head))
    size = random.choice((), w.shape[-1:])
    zero_points = [codes(random, (), np.uint8), codes(random, size, w.dtype.type)]
    past = random.choice(None, random.floats(2, batch, heads, random.integer(1, 3), head))
    total = length + (0 if past is None else past.shape[3])
    mask = random.choice(
        None,
        random.integers(batch, low=1, high=total, dtype=np.int32),
        np.ones((batch, total), np.int32),
    )
    call = [
        x, w, random.floats(w.shape[-1]), np.asarray(random.floats(low=0.001, high=0.01)),
        np.asarray(random.floats(*size, low=0.001, high=0.01)), mask,
        *random.choice([None, None], zero_points), past,
    ]  # fmt: skip
    attributes = {"num_heads": heads, "unidirectional": random.integer(0, 1)}
    return Call(call, attributes, outputs=2)


@example("QEmbedLayerNormalization", domain=DOMAIN)
def q_embed_layer_normalization(random: Random, version: int) -> Call:
    batch, length, hidden = random.integer(1, 3), random.integer(1, 4), random.integer(2, 6)
    kind = random.choice(*EIGHT_BITS)
    with_segments = random.choice(True, False)
    sizes = [(9, hidden), (length + 1, hidden), (2, hidden), (hidden,), (hidden,)]
    tables: list[Any] = [codes(random, size, kind) for size in sizes]
    scales: list[Any] = [np.asarray(random.floats(low=0.01, high=0.1)) for _ in sizes]
    zero_points: list[Any] = [codes(random, (), kind) for _ in sizes]
    segments = random.integers(batch, length, low=0, high=1, dtype=np.int32)
    if not with_segments:
        tables[2] = scales[2] = zero_points[2] = None
    ids = random.integers(batch, length, low=0, high=8, dtype=np.int32)
    mask = random.choice(None, random.integers(batch, length, low=0, high=1, dtype=np.int32))
    call = [ids, segments if with_segments else None, *tables, mask, *scales, *zero_points]
    return Call(call, {"epsilon": 1e-3}, outputs=2, constants=(2, 3, 4, 5, 6))


@example("MatMulNBits", domain=DOMAIN)
def mat_mul_n_bits(random: Random, version: int) -> Call:
    bits, block = random.choice(2, 4, 8), random.choice(16, 32)
    inner, columns = random.integer(1, 50), random.integer(1, 5)
    blocks = -(-inner // block)
    attributes = {"K": inner, "N": columns, "bits": bits, "block_size": block}
    b = codes(random, (columns, blocks, block * bits // 8), np.uint8)
    scales = random.floats(columns, blocks, low=0.001, high=0.01)
    packed = codes(random, (columns, -(-blocks * bits // 8)), np.uint8)
    zero_points = random.choice(None, packed)
    if bits < 8:  # ONNX Runtime takes no others with 8 bits
        floats = random.floats(columns, blocks, low=0, high=1 << bits)
        zero_points = random.choice(zero_points, floats)
    group = None
    if bits == 4 and zero_points is None:  # ONNX Runtime misreads the others where groups are given
        group = random.integers(inner, low=0, high=blocks - 1, dtype=np.int32)
    bias = random.choice(None, random.floats(columns))
    a = random.floats(*random.shape(random.integer(1, 2)), inner)
    return Call(
        [a, b, scales, zero_points, random.choice(None, group), bias],
        attributes,
        constants=(1, 2, 3, 4, 5),
    )


@example("GatherBlockQuantized", domain=DOMAIN)
def gather_block_quantized(random: Random, version: int) -> Call:
    kind = random.choice(
        np.uint8, ml_dtypes.uint4, ml_dtypes.int4, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
    )
    bits = random.choice(2, 4, 8) if kind is np.uint8 else 4
    rows, size, block = random.integer(1, 6), 8 * random.integer(1, 6), 16
    blocks = -(-size // block)
    scales = random.floats(rows, blocks, low=0.01, high=0.1)
    zero_points = None
    if kind is np.uint8:
        data = codes(random, (rows, size * bits // 8), kind)
        packed = codes(random, (rows, -(-blocks * bits // 8)), kind)
        zero_points = random.choice(None, packed)
    elif "float" in np.dtype(kind).name:
        data = random.floats(rows, size).astype(kind)
    else:
        data = codes(random, (rows, size), kind)
        zero_points = random.choice(None, codes(random, scales.shape, kind))
    indices = random.integers(
        *random.shape(random.integer(0, 2)), low=-rows, high=rows, dtype=np.int64
    )
    attributes = {"bits": bits, "block_size": block, "quantize_axis": random.choice(1, -1)}
    scales = scales.astype(random.choice(np.float32, np.float16))
    return Call([data, indices, scales, zero_points], attributes, constants=(0, 2, 3))


@example("QLinearAdd", domain=DOMAIN)
def q_linear_add(random: Random, version: int) -> Call:
    kind, shape = random.choice(*EIGHT_BITS), random.shape(random.integer(1, 4))
    shapes = [shape, random.broadcastable(shape)]
    parts = [part for s in shapes for part in tensor(random, s, kind)]
    return Call([*parts, power(random, -6, -3), middle(random, kind)])


@example("QLinearMul", domain=DOMAIN)
def q_linear_mul(random: Random, version: int) -> Call:
    return q_linear_add(random, version)


@example("QLinearLeakyRelu", domain=DOMAIN)
def q_linear_leaky_relu(random: Random, version: int) -> Call:
    kind = random.choice(*EIGHT_BITS)
    x = tensor(random, random.shape(random.integer(1, 4)), kind)
    y = [power(random, -7, -4), random.choice(None, middle(random, kind))]
    return Call([*x, *y], random.choice({}, {"alpha": 0.25}))


@example("QLinearSigmoid", domain=DOMAIN)
def q_linear_sigmoid(random: Random, version: int) -> Call:
    kind = random.choice(*EIGHT_BITS)
    x = tensor(random, random.shape(random.integer(1, 4)), kind)
    return Call([*x, np.array(1 / 256, np.float32), np.array(np.iinfo(kind).min, kind)])


@example("QLinearGlobalAveragePool", domain=DOMAIN)
def q_linear_global_average_pool(random: Random, version: int) -> Call:
    kind, channels_last = random.choice(*EIGHT_BITS), random.integer(0, 1)
    # Means of a power of two of numbers, which float32 holds.
    sizes = [2, 4] if channels_last == 0 else [4, 2]
    n, channels = random.shape(2)
    shape = (n, *sizes, channels) if channels_last else (n, channels, *sizes)
    x = [codes(random, shape, kind), power(random, -7, -4), middle(random, kind)]
    y = [power(random, -7, -4), middle(random, kind)]
    return Call([*x, *y], {"channels_last": channels_last})


@example("QLinearAveragePool", domain=DOMAIN)
def q_linear_average_pool(random: Random, version: int) -> Call:
    kind, channels_last = random.choice(*EIGHT_BITS), random.integer(0, 1)
    n, channels = random.shape(2)
    shape = (n, 5, 6, channels) if channels_last else (n, channels, 5, 6)
    y = [power(random, -7, -4), middle(random, kind)]
    attributes = {"kernel_shape": [2, 2], "channels_last": channels_last}
    attributes |= random.choice(
        {}, {"strides": [2, 1]}, {"pads": [1, 1, 0, 0]}, {"auto_pad": "SAME_UPPER"}
    )
    attributes["count_include_pad"] = random.integer(0, 1)
    return Call([*tensor(random, shape, kind), *y], attributes)


@example("QLinearWhere", domain=DOMAIN)
def q_linear_where(random: Random, version: int) -> Call:
    kind, shape = random.choice(*EIGHT_BITS), random.shape(random.integer(1, 4))
    condition = random.bools(*random.broadcastable(shape))
    parts = [
        part
        for s in (shape, random.broadcastable(shape))
        for part in (codes(random, s, kind), power(random, -7, -4), middle(random, kind))
    ]
    return Call([condition, *parts, power(random, -6, -3), middle(random, kind)])


@example("QLinearConcat", domain=DOMAIN)
def q_linear_concat(random: Random, version: int) -> Call:
    kind, shape = random.choice(*EIGHT_BITS), random.shape(random.integer(1, 4))
    axis = random.integer(-len(shape), len(shape) - 1)
    parts = []
    for _ in range(random.integer(1, 3)):
        sizes = list(shape)
        sizes[axis] = random.integer(1, 4)
        x = codes(random, tuple(sizes), kind)
        parts += [x, power(random, -7, -4), middle(random, kind)]
    return Call([power(random, -7, -4), middle(random, kind), *parts], {"axis": axis})


@example("QLinearSoftmax", domain=DOMAIN)
def q_linear_softmax(random: Random, version: int) -> Call:
    kind = random.choice(*EIGHT_BITS)
    x = codes(random, random.shape(random.integer(1, 3)), kind)
    attributes = {"axis": random.axis(x), "opset": random.choice(11, 13)}
    scales = [power(random, -6, -3), codes(random, (), kind)]
    # ONNX Runtime lets what is too large for int8 wrap; these scales leave nothing too large.
    scale = random.choice(1 / 256, 1 / 255, 0.0041, 0.02)
    y = [np.array(scale, np.float32), np.array(np.iinfo(kind).min, kind)]
    return Call([x, *scales, *y], attributes)


@example("MatMulBnb4", domain=DOMAIN)
def mat_mul_bnb4(random: Random, version: int) -> Call:
    inner, columns, block = random.integer(1, 40), random.integer(1, 5), random.choice(16, 32)
    b = codes(random, (-(-inner * columns // 2),), np.uint8)
    absmax = random.floats(-(-inner * columns // block), low=0.1, high=1)
    attributes = {"K": inner, "N": columns, "block_size": block}
    attributes |= {"quant_type": random.integer(0, 1)}
    a = random.floats(*random.shape(random.integer(1, 2)), inner)
    return Call([a, b, absmax], attributes, constants=(1, 2))
