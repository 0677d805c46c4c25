"""Calls of what ONNX Runtime fuses elementwise operators, products and normalizations into."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example
from tests.support.numbers import close, shape

DOMAIN = "com.microsoft"


@example("Gelu", domain=DOMAIN)
def gelu(random: Random, version: int) -> Call:
    return close([random.floats(*shape(random), low=-9, high=9)], steps=8)


@example("QuickGelu", domain=DOMAIN)
def quick_gelu(random: Random, version: int) -> Call:
    attributes = random.choice({}, {"alpha": 1.0}, {"alpha": 0.5})
    return close([random.floats(*shape(random), low=-9, high=9)], attributes, steps=16)


@example("FastGelu", domain=DOMAIN)
def fast_gelu(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4), low=-9, high=9)
    return close([x, random.choice(None, random.floats(x.shape[-1]))], steps=16)


@example("BiasGelu", domain=DOMAIN)
def bias_gelu(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4), low=-9, high=9)
    return close([x, random.floats(x.shape[-1])], steps=16)


@example("FusedConv", domain=DOMAIN)
def fused_conv(random: Random, version: int) -> Call:
    group, channels, outputs = random.integer(1, 2), random.integer(1, 3), random.integer(1, 3)
    x = random.floats(2, group * channels, random.integer(4, 7), random.integer(4, 7))
    kernel = [random.integer(1, 3), random.integer(1, 3)]
    w = random.floats(group * outputs, channels, *kernel)
    attributes: dict[str, Any] = {"group": group} | activation(random)
    attributes |= random.choice({}, {"kernel_shape": kernel})
    attributes |= random.choice(
        {}, {"pads": [1, 0, 0, 1]}, {"auto_pad": "SAME_UPPER"}, {"strides": [2, 1]}
    )
    b = random.choice(None, random.floats(len(w)))
    if random.choice(True, False) or attributes.keys() & {"pads", "auto_pad", "strides"}:
        return Call([x, w, b], attributes)
    sizes = [n - k + 1 for n, k in zip(x.shape[2:], kernel, strict=True)]
    return Call([x, w, b, random.floats(2, len(w), *sizes)], attributes)


def activation(random: Random) -> dict[str, Any]:
    """An activation of FusedConv with its parameters."""
    name, parameters = random.choice(
        ("Relu", None),
        ("Tanh", None),
        ("Sigmoid", None),
        ("LeakyRelu", [0.2]),
        ("Clip", [-0.5, 1.5]),
        ("HardSigmoid", [0.3, 0.4]),
        (None, None),
    )
    attributes = {} if name is None else {"activation": name}
    return attributes if parameters is None else attributes | {"activation_params": parameters}


@example("FusedGemm", domain=DOMAIN)
def fused_gemm(random: Random, version: int) -> Call:
    m, n, k = random.shape(3)
    attributes: dict[str, Any] = {"transA": random.integer(0, 1), "transB": random.integer(0, 1)}
    attributes |= random.choice({}, {"alpha": 0.5}, {"alpha": 0.5, "beta": 2.0})
    attributes |= random.choice(
        {"activation": "Relu"},
        {"activation": "LeakyRelu", "activation_alpha": 0.3},
        {"activation": "Elu", "activation_alpha": 0.7},
        {"activation": "HardSigmoid", "activation_alpha": 0.3, "activation_beta": 0.4},
        {"activation": "Selu", "activation_alpha": 1.3, "activation_gamma": 0.8},
        {"activation": "ThresholdedRelu", "activation_alpha": 0.3},
        {"activation": "Softplus"},
        {"activation": "Softsign"},
        {"activation": "Sigmoid"},
        {"activation": "Tanh"},
    )
    a = random.floats(k, m) if attributes["transA"] else random.floats(m, k)
    b = random.floats(n, k) if attributes["transB"] else random.floats(k, n)
    c = random.choice(None, random.floats(*random.choice((m, n), (n,), (m, 1), ())))
    return Call([a, b, c], attributes)


@example("FusedMatMul", domain=DOMAIN)
def fused_mat_mul(random: Random, version: int) -> Call:
    a, b, attributes = operands(random)
    attributes |= random.choice({}, {"alpha": 0.25})
    if random.choice(True, False):
        a, attributes["transBatchA"] = np.moveaxis(a, -2, 0), 1
    if random.choice(True, False):
        b, attributes["transBatchB"] = np.moveaxis(b, -2, 0), 1
    dtype = random.choice(np.float32, np.float64)
    return Call([a.astype(dtype), b.astype(dtype)], attributes)


def operands(random: Random) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Matrices of three or four dimensions, and which of them are transposed."""
    batch, (m, n, k) = random.shape(random.integer(1, 2)), random.shape(3)
    attributes = {"transA": random.integer(0, 1), "transB": random.integer(0, 1)}
    a = random.floats(*batch, k, m) if attributes["transA"] else random.floats(*batch, m, k)
    b = random.floats(*batch, n, k) if attributes["transB"] else random.floats(*batch, k, n)
    return a, b, attributes


@example("TransposeMatMul", domain=DOMAIN)
def transpose_mat_mul(random: Random, version: int) -> Call:
    a, b, attributes = operands(random)
    return Call([a, b], attributes | random.choice({}, {"alpha": 0.25}))


@example("Inverse", domain=DOMAIN)
def inverse(random: Random, version: int) -> Call:
    size = random.integer(1, 4)
    x = random.floats(*random.shape(random.integer(0, 2)), size, size, low=-1, high=1)
    return Call([(x + 4 * np.eye(size)).astype(random.choice(np.float32, np.float64))])


@example("Trilu", domain=DOMAIN)
def trilu(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(2, 4))
    k = random.choice(None, np.array(random.integer(-4, 4)))
    return Call([x, k], random.choice({}, {"upper": 0}, {"upper": 1}), rtol=0, atol=0)


@example("SkipLayerNormalization", domain=DOMAIN)
def skip_layer_normalization(random: Random, version: int) -> Call:
    batch, length, size = random.integer(1, 3), random.integer(1, 4), random.integer(2, 6)
    inputs = [
        random.floats(batch, length, size),
        random.floats(*random.choice((batch, length, size), (1, length, size), (length, size))),
        random.floats(size),
        *(random.choice(None, random.floats(size)) for _ in range(2)),
    ]
    return Call(inputs, random.choice({}, {"epsilon": 1e-5}))


@example("SkipSimplifiedLayerNormalization", domain=DOMAIN)
def skip_simplified_layer_normalization(random: Random, version: int) -> Call:
    dims = random.choice((2, 3, random.integer(2, 6)), (4, random.integer(2, 6)))
    inputs = [random.floats(*dims), random.floats(*dims), random.floats(dims[-1])]
    inputs.append(random.choice(None, random.floats(dims[-1])))
    return Call(inputs, random.choice({}, {"epsilon": 1e-5}))


@example("SimplifiedLayerNormalization")
def simplified_layer_normalization(random: Random, version: int) -> Call:
    dtype = random.choice(np.float32, np.float64)
    x = random.floats(rank=random.integer(1, 4), dtype=dtype)
    axis = random.axis(x)
    attributes = random.choice({}, {"epsilon": 1e-3}) | {"axis": axis}
    return Call([x, random.floats(*x.shape[axis:], dtype=dtype)], attributes, outputs=2)


@example("EmbedLayerNormalization", domain=DOMAIN)
def embed_layer_normalization(random: Random, version: int) -> Call:
    batch, length, size = random.integer(1, 3), random.integer(1, 4), random.integer(2, 6)
    segments = random.choice(True, False)

    def ids(high: int, rows: int = batch) -> np.ndarray:
        return random.integers(rows, length, low=0, high=high, dtype=np.int32)

    inputs = [
        ids(6), ids(1) if segments else None, random.floats(7, size), random.floats(9, size),
        random.floats(2, size) if segments else None, random.floats(size), random.floats(size),
        random.choice(None, ids(1)), random.choice(None, ids(8), ids(8, 1)),
    ]  # fmt: skip
    attributes = random.choice({}, {"epsilon": 1e-5})
    # ONNX Runtime wants to know the sizes of weights
    weights = [i for i in range(2, 7) if inputs[i] is not None]
    return Call(inputs, attributes, random.choice(2, 3), constants=weights)


@example("Affine")
def affine(random: Random, version: int) -> Call:
    attributes = random.choice({}, {"alpha": 0.5}, {"alpha": 2.0, "beta": -0.5})
    return Call([random.floats(*shape(random))], attributes)


@example("Scale")
def scale(random: Random, version: int) -> Call:
    return Call([random.floats(*shape(random))], random.choice({}, {"scale": 0.5}))


@example("ParametricSoftplus")
def parametric_softplus(random: Random, version: int) -> Call:
    attributes = {"alpha": random.choice(0.5, 2.0), "beta": random.choice(-1.5, 3.0)}
    return close([random.floats(*shape(random), low=-9, high=9)], attributes, steps=16)


@example("ScaledTanh")
def scaled_tanh(random: Random, version: int) -> Call:
    return parametric_softplus(random, version)


@example("ImageScaler")
def image_scaler(random: Random, version: int) -> Call:
    x = random.floats(*random.shape(4))
    attributes = {"bias": random.floats(x.shape[1]).tolist()}
    return Call([x], attributes | random.choice({}, {"scale": 0.5}))
