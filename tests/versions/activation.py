"""Calls of activation functions."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example
from tests.support.numbers import FLOATS, NUMBERS, close, numbers, shape

SINGLE = (np.float32, np.float16)
"""The only types of operators that ONNX Runtime has no float64 kernel of."""

Ranges = Mapping[str, tuple[float, float]]


def activation(dtypes: Sequence[Any], ranges: Ranges, random: Random, version: int) -> Call:
    """Floats, and attributes from the given ranges, each left out now and then."""
    x = random.floats(*shape(random), low=-9, high=9, dtype=random.choice(*dtypes))
    attributes = {
        name: float(random.floats(low=low, high=high))
        for name, (low, high) in ranges.items()
        if random.integer(0, 2)
    }
    return close([x], attributes, steps=8)


for _name, _dtypes, _ranges in (
    ("Sigmoid", FLOATS, {}),
    ("Tanh", FLOATS, {}),
    ("HardSwish", SINGLE, {}),
    ("Softplus", SINGLE, {}),
    ("Softsign", SINGLE, {}),
    ("Elu", SINGLE, {"alpha": (0.1, 2)}),
    ("Celu", (np.float32,), {"alpha": (0.1, 2)}),
    ("Selu", SINGLE, {"alpha": (0.1, 2), "gamma": (1, 2)}),
    ("LeakyRelu", SINGLE, {"alpha": (-0.5, 0.5)}),
    ("HardSigmoid", SINGLE, {"alpha": (0, 1), "beta": (0, 1)}),
    ("ThresholdedRelu", SINGLE, {"alpha": (-2, 2)}),
    ("Mish", SINGLE, {}),
    ("Swish", FLOATS, {"alpha": (-1, 2)}),
):
    example(_name)(partial(activation, _dtypes, _ranges))


@example("Relu")
def relu(random: Random, version: int) -> Call:
    dtypes = FLOATS if version < 14 else (*FLOATS, np.int8, np.int32)
    return Call([numbers(random, shape(random), random.choice(*dtypes))], rtol=0, atol=0)


@example("Gelu")
def gelu(random: Random, version: int) -> Call:
    call = activation(SINGLE, {}, random, version)
    call.attributes = random.choice({}, {"approximate": "none"}, {"approximate": "tanh"})
    return call


@example("SwiGLU")
def swi_glu(random: Random, version: int) -> Call:
    call = activation(FLOATS, {"alpha": (-1, 2)}, random, version)
    a = call.inputs[0]
    assert a is not None
    return close([a, random.floats(*a.shape, dtype=a.dtype)], call.attributes, steps=8)


@example("PRelu")
def p_relu(random: Random, version: int) -> Call:
    dtypes = SINGLE if version < 16 else (*FLOATS, np.int32, np.int64, np.uint32)
    dtype = random.choice(*dtypes)
    x = numbers(random, shape(random), dtype)
    channels = (x.shape[1], *[1] * (x.ndim - 2)) if x.ndim > 1 else ()
    dims = random.choice(random.broadcastable(x.shape), channels, ())
    return close([x, numbers(random, dims, dtype)])


@example("Shrink")
def shrink(random: Random, version: int) -> Call:
    # ONNX Runtime computes float64 in float32
    dtype = random.choice(*[dtype for dtype in NUMBERS if dtype is not np.float64])
    if dtype in FLOATS:
        x = random.floats(*shape(random), dtype=dtype)
    else:
        x = random.integers(*shape(random), low=0 if dtype(0) - 1 > 0 else -9, high=9, dtype=dtype)
    attributes = {"lambd": float(random.floats(low=0, high=2)), "bias": random.integer(0, 3) / 2}
    return close([x], random.choice({}, attributes))


def along_axis(dtypes: Sequence[Any], random: Random, version: int) -> Call:
    dims = random.shape(random.integer(1 if version >= 13 else 2, 4))
    x = random.floats(*dims, low=-9, high=9, dtype=random.choice(*dtypes))
    axis = {"axis": random.axis(x, negative=version >= 11)}
    return close([x], random.choice({}, axis), steps=16)


example("Softmax")(partial(along_axis, FLOATS))
example("LogSoftmax")(partial(along_axis, FLOATS))


@example("Hardmax")
def hardmax(random: Random, version: int) -> Call:
    call = along_axis(SINGLE, random, version)
    # few different values, so that the maximum is there several times
    call.inputs = [np.rint(x / 4) for x in call.inputs if x is not None]
    return call
