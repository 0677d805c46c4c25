"""Positions and selections: ArgMax, OneHot, scatters, TopK."""

from collections.abc import Callable

import numpy as np

from hetu.ir import Graph, Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import END, Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import BOOL, INT64, TensorType

for _op_type in ("ArgMax", "ArgMin"):
    up(_op_type, 12)(plain)  # what was taken of several extremes became an attribute


@up("OneHot", 11)
def one_hot(rewrite: Rewrite) -> Results:
    """A negative index meant none; now it counts from the end, and the depth means none."""
    indices, depth, values = (rewrite.given(index) for index in range(3))
    element = rewrite.dtype(indices)
    none = rewrite.op("Cast", rewrite.op("Reshape", depth, np.zeros(0, np.int64)), to=element.code)
    is_negative = rewrite.op("Less", indices, rewrite.constant(0, element))
    return rewrite.keep([rewrite.op("Where", is_negative, none, indices), depth, values])


@up("Scatter", 11)
def scatter(rewrite: Rewrite) -> Results:
    return rewrite.keep(op_type="ScatterElements")


@up("TopK", 10)
def top_k(rewrite: Rewrite) -> Results:
    return rewrite.keep([rewrite.given(0), [rewrite.attribute("k")]], without=("k",))


_REDUCTIONS = {"add": "Add", "mul": "Mul", "min": "Min", "max": "Max"}


@down("ScatterElements", 18)
@down("ScatterND", 18)
def scatter_extremes(rewrite: Rewrite) -> Results:
    is_new = rewrite.attribute("reduction", "none") in ("min", "max")
    return scatter_reduced(rewrite) if is_new else plain(rewrite)


@down("ScatterElements", 16)
@down("ScatterND", 16)
def scatter_reduced(rewrite: Rewrite) -> Results:
    """Updates that may meet are put in one after the other."""
    reduction = rewrite.attribute("reduction", "none")
    if reduction == "none":
        return rewrite.keep(without=("reduction",))
    if rewrite.node.op_type == "ScatterElements":
        return _elements_in_turn(rewrite, _REDUCTIONS[reduction])
    return _slices_in_turn(rewrite, _REDUCTIONS[reduction])


def _elements_in_turn(rewrite: Rewrite, op_type: str) -> Value:
    """Places of one position along the axis are different."""
    data, indices, updates = (rewrite.given(index) for index in range(3))
    axis = rewrite.attribute("axis", 0)
    count = rewrite.op("Gather", rewrite.op("Shape", indices), np.int64(axis))

    def put(body: Rewrite, step: Value, current: Value) -> Value:
        places, values = (body.op("Gather", x, step, axis=axis) for x in (indices, updates))
        held = body.op("GatherElements", current, places, axis=axis)
        new = body.op(op_type, held, values)
        return body.op("ScatterElements", current, places, new, axis=axis)

    return _in_turn(rewrite, data, count, put)


def _slices_in_turn(rewrite: Rewrite, op_type: str) -> Value:
    data, indices, updates = (rewrite.given(index) for index in range(3))
    depth = rewrite.sizes(indices, -1)
    leading = rewrite.sizes(indices, 0, -1)
    count = rewrite.op("ReduceProd", leading, keepdims=0, version=13)
    rows = rewrite.op("Unsqueeze", count, [0])
    tail = rewrite.op("Slice", rewrite.op("Shape", data), depth, [END])
    indices = rewrite.op("Reshape", indices, rewrite.op("Concat", rows, depth, axis=0))
    updates = rewrite.op("Reshape", updates, rewrite.op("Concat", rows, tail, axis=0))

    def put(body: Rewrite, step: Value, current: Value) -> Value:
        place, value = (body.op("Gather", x, step, axis=0) for x in (indices, updates))
        new = body.op(op_type, body.op("GatherND", current, place), value)
        return body.op("ScatterND", current, place, new)

    return _in_turn(rewrite, data, count, put)


def _in_turn(
    rewrite: Rewrite, data: Value, count: Value, put: Callable[[Rewrite, Value, Value], Value]
) -> Value:
    """A loop over positions; `put` gets a position as a list of one, and the data so far."""
    body = rewrite.inner()
    step, going = Value("step", TensorType(INT64, ())), Value("going", TensorType(BOOL, ()))
    current = Value("current", rewrite.type(data))
    result = put(body, body.op("Unsqueeze", step, [0]), current)
    goes_on = body.op("Identity", going)
    graph = Graph((step, going, current), (goes_on, result), tuple(body.nodes), name="in_turn")
    return rewrite.op("Loop", count, np.array(True), data, body=graph)


@down("TensorScatter", 24)
def scatter_into_cache(rewrite: Rewrite) -> Results:
    """The places of a sample's updates follow each other from its first one on."""
    cache, update, first = rewrite.given(0), rewrite.given(1), rewrite.input(2)
    axis, rank = rewrite.attribute("axis", -2), rewrite.rank(cache)
    shape = rewrite.op("Shape", update)
    length = rewrite.op("Gather", shape, np.int64(axis))
    places = rewrite.op("Range", np.int64(0), length, np.int64(1))
    trailing = rank - axis % rank - 1
    if trailing:
        places = rewrite.op("Unsqueeze", places, list(range(1, 1 + trailing)))
    if first is not None:
        places = rewrite.op("Add", places, rewrite.op("Reshape", first, [-1] + [1] * (rank - 1)))
    if rewrite.attribute("mode", "linear") == "circular":
        size = rewrite.op("Gather", rewrite.op("Shape", cache), np.int64(axis))
        places = rewrite.op("Mod", places, size)
    places = rewrite.op("Expand", places, shape)
    return rewrite.op("ScatterElements", cache, places, update, axis=axis)
