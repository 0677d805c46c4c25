"""Positions and selections: ArgMax, OneHot, Scatter, TopK."""

import numpy as np

from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up

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


@down("ScatterElements", 18)
@down("ScatterND", 18)
def scatter_extremes(rewrite: Rewrite) -> Results:
    reduction = rewrite.attribute("reduction", "none")
    if reduction in ("min", "max"):
        rewrite.fail(f"reduction {reduction!r} exists from opset 18 on")
    return plain(rewrite)
