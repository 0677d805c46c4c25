"""Operators by element: Softmax and its kin, Clip, Selu, Dropout, Cast, Mod."""

from hetu.errors import UsageError
from hetu.ir import Value
from hetu.passes.opset.derive import constant_input, plain
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import dtype


def flattened(rewrite: Rewrite) -> Results:
    """Until opset 13 the input was seen as a matrix, the axes from `axis` on as its columns."""
    x, axis = rewrite.given(0), rewrite.attribute("axis", 1)
    shape = rewrite.shape(x)
    if shape and axis % len(shape) == len(shape) - 1:
        return rewrite.keep(axis=-1)
    matrix = rewrite.keep([rewrite.op("Flatten", x, axis=axis)], axis=-1)
    return rewrite.op("Reshape", *matrix, rewrite.op("Shape", x))


for _op_type in ("Softmax", "LogSoftmax", "Hardmax"):
    up(_op_type, 13)(flattened)

up("Selu", 6)(plain)  # the defaults got more digits; the old ones are stated


@up("Clip", 11)
def clip(rewrite: Rewrite) -> Results:
    """Bounds that are not given stay away: the old defaults are those of float32."""
    assert rewrite.new is not None
    bounds = [
        constant_input(rewrite, rewrite.node.attributes[formal.name], formal)
        if formal.name in rewrite.node.attributes
        else None
        for formal in rewrite.new.inputs[1:]
    ]
    return rewrite.keep([rewrite.given(0), *bounds], without=("min", "max"))


@up("Dropout", 7)
def dropout_trains(rewrite: Rewrite) -> Results:
    """A node that trains says so by an input again from opset 12 on."""
    if rewrite.attribute("is_test", 0):
        return rewrite.keep(without=("is_test",))
    ratio = rewrite.constant(rewrite.attribute("ratio", 0.5), dtype("float32"))
    training = rewrite.constant(True, dtype("bool"))
    y, mask = rewrite.op("Dropout", rewrite.given(0), ratio, training, outputs=2, version=12)
    return [y, _mask(rewrite, mask) if rewrite.is_used(1) else None]


@up("Dropout", 10)
def dropout_mask(rewrite: Rewrite) -> Results:
    """The mask was of the data's type."""
    y, *mask = rewrite.keep()
    return [y, *(_mask(rewrite, m) if rewrite.is_used(1) else m for m in mask)]


def _mask(rewrite: Rewrite, mask: Value | None) -> Value:
    return rewrite.op("Cast", mask, to=rewrite.dtype(rewrite.given(0)).code)


@up("Cast", 6)
def cast(rewrite: Rewrite) -> Results:
    """Types had names."""
    name: str = rewrite.attribute("to", "").lower()
    try:
        element = dtype({"float": "float32", "double": "float64"}.get(name) or name)
    except UsageError as error:
        rewrite.fail(str(error))
    return rewrite.keep(to=element.code)


@down("Mod", 28)
def floored(rewrite: Rewrite) -> Results:
    """Until opset 28, floats had remainders of their own sign only, not of the divisor's."""
    x, y = rewrite.given(0), rewrite.given(1)
    element = rewrite.dtype(x)
    if rewrite.attribute("fmod", 0) or not element.is_float:
        return plain(rewrite)
    (rest,) = rewrite.keep(fmod=1)
    zero = rewrite.constant(0, element)
    is_negative, is_below = (rewrite.op("Less", value, zero) for value in (rest, y))
    is_other = rewrite.op("Xor", is_negative, is_below)
    is_apart = rewrite.op("And", rewrite.op("Not", rewrite.op("Equal", rest, zero)), is_other)
    return rewrite.op("Where", is_apart, rewrite.op("Add", rest, y), rest)
