"""Calls of normalizations."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

HALF = 2.0**-8
"""Roundings to float16: of the normalized value, the scaled and the shifted one, by both sides."""


def image(random: Random, *dtypes: Any, low: int = 2, high: int = 5) -> np.ndarray:
    """A batch with channels and any number of further dimensions."""
    return random.floats(rank=random.integer(low, high), dtype=random.choice(*dtypes))


def parameters(random: Random, shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """A scale and a bias."""
    scale, bias = (random.floats(*shape, low=low, high=2.0, dtype=dtype) for low in (0.5, -2.0))
    return scale, bias


def epsilon(random: Random) -> dict[str, Any]:
    """The attribute, sometimes."""
    return {"epsilon": random.choice(1e-5, 1e-3, 0.1)} if random.bools() else {}


def tolerant(call: Call) -> Call:
    """The call, with the tolerance of its first input's type."""
    if call.inputs[0] is not None and call.inputs[0].dtype == np.float16:
        call.rtol = call.atol = HALF
    return call


@example("BatchNormalization")
def batch_normalization(random: Random, version: int) -> Call:
    x = image(random, np.float32, np.float64, np.float16)
    attributes = epsilon(random)
    is_flat = version < 9 and random.bools()
    shape = x.shape[1:] if is_flat else x.shape[1:2]
    if is_flat:
        attributes["spatial"] = 0
    scale, bias = parameters(random, shape, x.dtype)
    mean = random.floats(*shape, dtype=x.dtype)
    var = random.floats(*shape, low=0.5, dtype=x.dtype)
    if version < 14 or random.bools():
        return tolerant(Call([x, scale, bias, mean, var], attributes))
    attributes |= {"training_mode": 1, "momentum": random.choice(0.9, 0.5)}
    return tolerant(Call([x, scale, bias, mean, var], attributes, outputs=3))


@example("InstanceNormalization")
def instance_normalization(random: Random, version: int) -> Call:
    x = image(random, np.float32, np.float16, low=3)
    return tolerant(Call([x, *parameters(random, x.shape[1:2], x.dtype)], epsilon(random)))


@example("LayerNormalization")
def layer_normalization(random: Random, version: int) -> Call:
    x = image(random, np.float32, np.float64, np.float16, low=1)
    axis = random.axis(x)
    shape = x.shape[axis:]
    if random.bools():
        shape = random.broadcastable(shape)
    scale, bias = parameters(random, shape, x.dtype)
    attributes = epsilon(random) | ({"axis": axis} if axis != -1 or random.bools() else {})
    inputs = [x, scale, bias] if random.bools() else [x, scale]
    return tolerant(Call(inputs, attributes, outputs=random.integer(1, 3)))


@example("RMSNormalization")
def rms_normalization(random: Random, version: int) -> Call:
    x = image(random, np.float32, np.float64, np.float16, low=1)
    axis = random.axis(x)
    scale, _ = parameters(random, x.shape[axis:], x.dtype)
    attributes = epsilon(random) | ({"axis": axis} if axis != -1 or random.bools() else {})
    return tolerant(Call([x, scale], attributes))


@example("GroupNormalization")
def group_normalization(random: Random, version: int) -> Call:
    groups, size = random.integer(1, 3), random.integer(1, 3)
    dims = random.shape(random.integer(1, 3))
    dtype = random.choice(np.float32, np.float16)
    x = random.floats(dims[0], groups * size, *dims[1:], dtype=dtype)
    attributes = epsilon(random) | {"num_groups": groups}
    return tolerant(Call([x, *parameters(random, x.shape[1:2], dtype)], attributes))


@example("LRN")
def lrn(random: Random, version: int) -> Call:
    # ONNX Runtime refuses even sizes
    x = random.floats(rank=4)
    drawn = {"alpha": 0.5, "beta": 0.4, "bias": 2.0}
    attributes = {name: value for name, value in drawn.items() if random.bools()}
    return Call([x], attributes | {"size": random.choice(1, 3, 5)})


@example("LpNormalization")
def lp_normalization(random: Random, version: int) -> Call:
    x = image(random, np.float32, np.float64, low=1)
    if random.bools():
        x *= random.bools(*x.shape)
    axis = {"axis": random.axis(x)} if random.bools() else {}
    return Call([x], axis | ({"p": random.integer(1, 2)} if random.bools() else {}))


@example("MeanVarianceNormalization")
def mean_variance_normalization(random: Random, version: int) -> Call:
    # without two values along the axes the deviation is rounding noise
    rank = random.integer(1, 4)
    dims = tuple(random.integer(2, 5) for _ in range(rank))
    if rank < 4:
        return Call([random.floats(*dims)])
    axes = random.choice(None, [0, 1, 2, 3], [0, 2, 3], [2, 3], [1], [-1], [0, -2])
    return Call([random.floats(*dims)], {} if axes is None else {"axes": axes})
