"""Calls of operators as opsets 1 to 8 had them, each with the call that means the same later.

ONNX Runtime has few kernels that old: numpy brings the inputs into the form that a later one takes.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example, find_example
from tests.support.numbers import close
from tests.versions.cast import NUMBERS, code, numbers
from tests.versions.shape import anything, as_input

FLOATS = (np.float32, np.float64)


def newer(random: Random, op_type: str, version: int) -> Call:
    """A call of a later version."""
    make = find_example("", op_type, version)
    assert make is not None
    return make(random, version)


def as_before(call: Call, version: int, **attributes: Any) -> Call:
    """A call of a later version, with the attributes that it had in addition before."""
    return replace(call, attributes={**call.attributes, **attributes}, later=(version, call))


def operands(random: Random, dtype: Any) -> tuple[np.ndarray, np.ndarray, dict[str, Any], Any]:
    """Two tensors by the broadcasting of old, its attributes, and the second's shape by numpy's."""
    shape = random.shape(random.integer(1, 4))
    axis = random.integer(0, len(shape) - 1)
    end = random.integer(axis + 1, len(shape))
    part, ones = shape[axis:end], (1,) * (len(shape) - end)
    counted = axis - random.choice(0, len(shape))
    dims, attributes, aligned = random.choice(
        (shape, {}, shape),
        ((), {"broadcast": 1}, ()),
        ((1,) * len(shape), {"broadcast": 1}, (1,)),
        (shape[axis:], {"broadcast": 1}, shape[axis:]),
        (part, {"broadcast": 1, "axis": counted}, part + ones),
        (part, {"broadcast": 1, "axis": axis}, part + ones),
    )
    a, b = (random.integers(*d, low=1, high=5).astype(dtype) for d in (shape, dims))
    return np.asarray(a), np.asarray(b), attributes, aligned


def binary(dtypes: Sequence[Any], random: Random, version: int) -> Call:
    a, b, attributes, aligned = operands(random, random.choice(*dtypes))
    return Call([a, b], attributes, later=(7, Call([a, b.reshape(aligned)])))


for _name, _dtypes in (
    ("Add", FLOATS), ("Sub", FLOATS), ("Mul", FLOATS), ("Div", FLOATS), ("Pow", FLOATS),
    ("Less", FLOATS), ("Greater", FLOATS), ("Equal", (np.bool_, np.int32, np.int64)),
    ("And", (np.bool_,)), ("Or", (np.bool_,)), ("Xor", (np.bool_,)),
):  # fmt: skip
    example(_name, before=7)(partial(binary, _dtypes))


@example("PRelu", before=7)
def p_relu(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(2, 4))
    channels = x.shape[1]
    dims, aligned = random.choice(
        ((1,), (1,)), (x.shape, x.shape), ((channels,), (channels, *[1] * (x.ndim - 2)))
    )
    slope = random.floats(*dims)
    return Call([x, slope], later=(7, Call([x, slope.reshape(aligned)])))


@example("Gemm", before=7)
def gemm(random: Random, version: int) -> Call:
    return as_before(newer(random, "Gemm", 7), 7, broadcast=1)


@example("AveragePool", before=7)
def average_pool(random: Random, version: int) -> Call:
    call = newer(random, "AveragePool", 7)
    call.attributes.pop("count_include_pad", None)
    return as_before(call, 7)


@example("BatchNormalization", before=7)
def batch_normalization(random: Random, version: int) -> Call:
    return as_before(newer(random, "BatchNormalization", 7), 7, is_test=random.integer(0, 1))


@example("Dropout", before=7)
def dropout(random: Random, version: int) -> Call:
    return as_before(newer(random, "Dropout", 7), 7, is_test=1)


def recurrent(op_type: str, random: Random, version: int) -> Call:
    call = newer(random, op_type, 7)
    if version < 3:
        call.attributes.pop("linear_before_reset", None)
    return as_before(call, 7, output_sequence=1)


for _name in ("RNN", "GRU", "LSTM"):
    example(_name, before=7)(partial(recurrent, _name))


@example("Cast", before=6)
def cast(random: Random, version: int) -> Call:
    source, target = random.choice(*NUMBERS), random.choice(*NUMBERS)
    x = numbers(random, source, target)
    name = {"FLOAT32": "FLOAT", "FLOAT64": "DOUBLE"}.get(np.dtype(target).name.upper())
    later = Call([x], {"to": code(target)})
    return Call([x], {"to": name or np.dtype(target).name.upper()}, later=(6, later))


def plain(random: Random, version: int) -> Call:
    return Call([random.floats(rank=random.integer(0, 4))])


for _name in ("Abs", "Neg"):
    example(_name, before=6)(plain)


@example("Clip", before=11)
def clip(random: Random, version: int) -> Call:
    """Without a bound, the largest numbers of float32 bound: infinity is beyond them."""
    x = random.floats(*random.shape(random.integer(0, 4)))
    x = np.where(random.bools(*x.shape), x, np.float32(random.choice(np.inf, -np.inf, np.nan)))
    bounds = {"min": -random.integer(0, 2), "max": float(random.integer(0, 2))}
    names = random.choice(("min", "max"), ("min",), ("max",), ())
    return Call([x], {name: float(bounds[name]) for name in names}, rtol=0, atol=0)


@example("Selu", before=6)
def selu(random: Random, version: int) -> Call:
    call = newer(random, "Selu", 6)
    later = replace(call, attributes={"alpha": 1.6732, "gamma": 1.0507, **call.attributes})
    return replace(call, later=(6, later))


@example("Concat", before=4)
def concat(random: Random, version: int) -> Call:
    call = newer(random, "Concat", 4)
    call.inputs = [np.ones(np.shape(x), np.float32) * i for i, x in enumerate(call.inputs)]
    is_default = call.attributes["axis"] == 1
    return replace(call, attributes={} if is_default else call.attributes, later=(4, call))


@example("Pad", before=2)
def pad(random: Random, version: int) -> Call:
    later = newer(random, "Pad", 2)
    attributes = {**later.attributes, "paddings": later.attributes["pads"]}
    del attributes["pads"]
    return replace(later, attributes=attributes, later=(2, later))


@example("Reshape", before=5)
def reshape(random: Random, version: int) -> Call:
    a, b, c = random.shape(3)
    target = random.choice([a * b, c], [0, -1], [c, b, a], [-1], [a, 0, 1, -1], [0, 0, 0, 1])
    x = random.floats(a, b, c)
    return Call([x], {"shape": target}, later=(5, Call([x, as_input(target)])))


@example("Split", before=2)
def split(random: Random, version: int) -> Call:
    later = newer(random, "Split", 2)
    later.inputs = [anything(random, *x.shape, types=FLOATS) for x in later.inputs if x is not None]
    call = replace(later, later=(2, later))
    lengths = call.attributes.get("split")
    if lengths is None or random.integer(0, 1):
        return call
    attributes = {name: value for name, value in call.attributes.items() if name != "split"}
    inputs = [*call.inputs, np.array(lengths, later.inputs[0].dtype)]
    return replace(call, inputs=inputs, attributes=attributes)


@example("Tile", before=6)
def tile(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4))
    axis, count = random.integer(0, x.ndim - 1), random.integer(1, 3)
    later = Call([x, as_input([count if i == axis else 1 for i in range(x.ndim)])])
    return Call([x, np.float32(count).reshape(1), np.float32(axis).reshape(1)], later=(6, later))


@example("Upsample", before=7)
def upsample(random: Random, version: int) -> Call:
    x = random.floats(*random.shape(4))
    height, width = random.choice(1.0, 1.5, 2.0, 3.0), random.choice(1.3, 2.0, 2.5)
    mode = random.choice("nearest", "bilinear")
    attributes = {"mode": mode, "height_scale": height, "width_scale": width}
    scales = [1.0, 1.0, height, width]
    later = {"mode": "linear" if mode == "bilinear" else mode, "scales": scales}
    return Call([x], attributes, later=(7, Call([x], later)))


def with_float_power(op_type: str, random: Random, version: int) -> Call:
    call = newer(random, op_type, 2)
    return replace(
        call, attributes={**call.attributes, "p": float(call.attributes["p"])}, later=(2, call)
    )


for _name in ("LpPool", "GlobalLpPool"):
    example(_name, before=2)(partial(with_float_power, _name))


@example("MeanVarianceNormalization", before=9)
def mean_variance_normalization(random: Random, version: int) -> Call:
    x = random.floats(*(random.integer(2, 5) for _ in range(4)))
    names = random.choice((), ("across_channels",), ("normalize_variance",))
    return Call([x], {name: random.integer(0, 1) for name in names})


def with_floats(names: Sequence[str], random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4))
    return close([x], {name: random.choice(0.5, 1.0, -2.0) for name in names}, steps=8)


for _name, _names in (
    ("Affine", ("alpha", "beta")), ("ParametricSoftplus", ("alpha", "beta")),
    ("ScaledTanh", ("alpha", "beta")), ("Scale", ("scale",)),
):  # fmt: skip
    example(_name)(partial(with_floats, _names))


@example("ImageScaler")
def image_scaler(random: Random, version: int) -> Call:
    x = random.floats(rank=4)
    return Call([x], {"scale": 1.5, "bias": random.floats(x.shape[1]).tolist()})


@example("Crop")
def crop(random: Random, version: int) -> Call:
    border = [random.integer(0, 2) for _ in range(4)]
    scale = random.choice({}, {"scale": [random.integer(1, 3), random.integer(1, 3)]})
    return Call([random.floats(1, 2, 5, 6)], {"border": border, **scale})


@example("DynamicSlice")
def dynamic_slice(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4))
    axes = random.permutation(x.ndim)[: random.integer(1, x.ndim)]
    starts, ends = ([random.integer(-7, 7) for _ in axes] for _ in range(2))
    inputs = [as_input(part) for part in (starts, ends, axes)]
    return Call([x, *(inputs if axes != list(range(len(axes))) else inputs[:2])])
