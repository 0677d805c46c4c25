"""Reductions: axes as inputs, empty axes, types."""

import numpy as np

from hetu.ir import Graph, Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite, constant_data
from hetu.passes.opset.rule import Results, down, up
from hetu.types import BOOL, FLOAT64, INT64, dtype

_OF_ONE_ELEMENT = {
    "ReduceL1": ("Abs",), "ReduceL2": ("Abs",), "ReduceLogSum": ("Log",), "ReduceLogSumExp": (),
    "ReduceMax": (), "ReduceMean": (), "ReduceMin": (), "ReduceProd": (), "ReduceSumSquare": None,
}  # fmt: skip
"""What reductions do over no axis: each element by itself; None: it is squared."""

_IN_STEPS = ("ReduceMax", "ReduceMin", "ReduceProd")
"""Reductions that may go axis by axis and have no form with computed axes otherwise."""


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
    if known is None and axes is not None and rewrite.node.op_type in _IN_STEPS:
        return _axis_by_axis(rewrite, x, axes)
    if known is None and rewrite.node.op_type == "ReduceLogSum":
        return _log(rewrite, *rewrite.keep(op_type="ReduceSum"))
    stated = rewrite.ints(axes, "axes") if axes else []
    return rewrite.keep([x], without=("noop_with_empty_axes",), axes=stated)


for _op_type in _OF_ONE_ELEMENT:
    down(_op_type, 18)(reduce_by_attribute)


def _axis_by_axis(rewrite: Rewrite, x: Value, axes: Value) -> Value:
    """Computed axes: each axis is reduced if it is one of them, or if there are none."""
    rank = rewrite.rank(x)
    is_axis = rewrite.op("Equal", rewrite.op("Mod", axes, [rank]), np.arange(rank)[:, None])
    counts = rewrite.op("ReduceSum", rewrite.cast(is_axis, INT64), [1], keepdims=0)
    chosen = rewrite.cast(counts, BOOL)
    if not rewrite.attribute("noop_with_empty_axes", 0):
        is_none = rewrite.op("Equal", rewrite.op("Size", axes), np.int64(0))
        chosen = rewrite.op("Or", chosen, is_none)
    y = x
    for axis in range(rank):
        y = _if_chosen(rewrite, y, axis, rewrite.op("Gather", chosen, np.int64(axis)))
    if rewrite.attribute("keepdims", 1):
        return y
    shape = rewrite.op("Compress", rewrite.op("Shape", y), rewrite.op("Not", chosen))
    return rewrite.op("Reshape", y, shape)


def _if_chosen(rewrite: Rewrite, x: Value, axis: int, is_chosen: Value) -> Value:
    reduced, same = rewrite.inner(), rewrite.inner()
    y = reduced.keep([x], without=("noop_with_empty_axes",), axes=[axis], keepdims=1)
    unchanged = same.op("Identity", x)
    return rewrite.op(
        "If",
        is_chosen,
        then_branch=Graph((), tuple(y), tuple(reduced.nodes), name="reduced"),
        else_branch=Graph((), (unchanged,), tuple(same.nodes), name="unchanged"),
    )


def _elementwise(rewrite: Rewrite, x: Value) -> Value:
    op_types = _OF_ONE_ELEMENT[rewrite.node.op_type]
    if op_types is None:
        return rewrite.op("Mul", x, x)
    if op_types == ("Log",):
        return _log(rewrite, x)
    return rewrite.op(*op_types, x) if op_types else rewrite.op("Identity", x)


def _log(rewrite: Rewrite, x: Value | None) -> Value:
    """Logarithms, of integers rounded towards 0."""
    element = rewrite.dtype(rewrite.given(0))
    if element.is_float:
        return rewrite.op("Log", x)
    return rewrite.op(
        "Cast", rewrite.op("Log", rewrite.op("Cast", x, to=FLOAT64.code)), to=element.code
    )


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


@down("CumProd", 26)
def products(rewrite: Rewrite) -> Results:
    """The products of what a triangle keeps, with ones in place of the rest."""
    x, element = rewrite.given(0), rewrite.dtype(rewrite.given(0))
    (axis,) = rewrite.ints(rewrite.given(1), "axis")
    trailing = rewrite.rank(x) - axis % rewrite.rank(x) - 1
    axis = -trailing - 1
    length = rewrite.op("Gather", rewrite.op("Shape", x), np.int64(axis))
    places = rewrite.op("Range", np.int64(0), length, np.int64(1))
    sides = [places, rewrite.op("Unsqueeze", places, [1])]
    compare = "Less" if rewrite.attribute("exclusive", 0) else "LessOrEqual"
    kept = rewrite.op(compare, *(reversed(sides) if rewrite.attribute("reverse", 0) else sides))
    if trailing:
        kept = rewrite.op("Unsqueeze", kept, list(range(2, 2 + trailing)))
    table = rewrite.op("Unsqueeze", x, [axis - 1])
    factors = rewrite.op("Where", kept, table, rewrite.constant(1, element))
    return rewrite.op("ReduceProd", factors, [axis], keepdims=0)
