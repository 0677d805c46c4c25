"""Reductions: axes as inputs, empty axes, types."""

from hetu.ir import Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite, constant_data
from hetu.passes.opset.rule import Results, down, up
from hetu.types import BOOL, dtype

_OF_ONE_ELEMENT = {
    "ReduceL1": ("Abs",), "ReduceL2": ("Abs",), "ReduceLogSum": ("Log",), "ReduceLogSumExp": (),
    "ReduceMax": (), "ReduceMean": (), "ReduceMin": (), "ReduceProd": (), "ReduceSumSquare": None,
}  # fmt: skip
"""What reductions do over no axis: each element by itself; None: it is squared."""


def reduce_by_attribute(rewrite: Rewrite) -> Results:
    """Until opset 18 axes were an attribute, and no axes always meant all."""
    x, axes = rewrite.given(0), rewrite.input(1)
    known = constant_data(axes)
    is_none = axes is None or (known is not None and not known.size)
    if is_none and rewrite.attribute("noop_with_empty_axes", 0):
        return _elementwise(rewrite, x)
    if is_none:
        return rewrite.keep([x], without=("noop_with_empty_axes",))
    if known is None and rewrite.node.op_type == "ReduceMean":
        return _mean(rewrite, x)
    stated = rewrite.ints(axes, "axes") if axes else []
    return rewrite.keep([x], without=("noop_with_empty_axes",), axes=stated)


for _op_type in _OF_ONE_ELEMENT:
    down(_op_type, 18)(reduce_by_attribute)


def _elementwise(rewrite: Rewrite, x: Value) -> Value:
    op_types = _OF_ONE_ELEMENT[rewrite.node.op_type]
    if op_types is None:
        return rewrite.op("Mul", x, x)
    if op_types == ("Log",) and not rewrite.dtype(x).is_float:
        logarithm = rewrite.op("Log", rewrite.op("Cast", x, to=dtype("float64").code))
        return rewrite.op("Cast", logarithm, to=rewrite.dtype(x).code)
    return rewrite.op(*op_types, x) if op_types else rewrite.op("Identity", x)


def _mean(rewrite: Rewrite, x: Value) -> Value:
    """A sum, whose axes may be computed from opset 13 on, by the number of its terms."""
    (total,) = rewrite.keep(op_type="ReduceSum")
    sizes = [
        rewrite.op("Cast", rewrite.op("Size", value), to=rewrite.dtype(x).code)
        for value in (x, total)
    ]
    return rewrite.op("Div", total, rewrite.op("Div", *sizes))


@down("ReduceMax", 20)
@down("ReduceMin", 20)
def extreme_of_truth(rewrite: Rewrite) -> Results:
    """Truth values are compared as numbers."""
    if rewrite.dtype(rewrite.given(0)) is not BOOL:
        return plain(rewrite)
    return _through(rewrite, "uint8")


@up("ReduceLogSum", 28)
@up("ReduceLogSumExp", 28)
@up("Erf", 13)
def of_integers(rewrite: Rewrite) -> Results:
    """Integers are no longer taken; results were rounded towards 0."""
    if rewrite.dtype(rewrite.given(0)).is_float:
        return plain(rewrite)
    return _through(rewrite, "float64")


def _through(rewrite: Rewrite, name: str) -> Value:
    """The node computed in another type."""
    x, *rest = rewrite.node.inputs
    (y,) = rewrite.keep([rewrite.op("Cast", x, to=dtype(name).code), *rest])
    return rewrite.op("Cast", y, to=rewrite.dtype(rewrite.given(0)).code)
