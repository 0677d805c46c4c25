"""Products, norms and reductions."""

import numpy as np

from hetu.ir import Node
from hetu.passes.facts import argument, axes_of
from hetu.runtime.shapes.rules import Known, are_floats, is_axis, rule


@rule("MatMul")
def _matmul(node: Node, a: Known, b: Known) -> Known | None:
    if not are_floats(a, b) or min(a.rank, b.rank) < 2:
        return None
    if a.shape[-1] != b.shape[-2]:
        return None
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return Known(a.dtype, (*batch, a.shape[-2], b.shape[-1]))


@rule("Gemm", since=7)
def _gemm(node: Node, a: Known, b: Known, c: Known | None = None) -> Known | None:
    given = (a, b) if c is None else (a, b, c)
    if not are_floats(*given) or not a.rank == b.rank == 2:
        return None
    rows, depth = a.shape[::-1] if argument(node, "transA") else a.shape
    inner, columns = b.shape[::-1] if argument(node, "transB") else b.shape
    shape = (rows, columns)
    is_fitting = c is None or np.broadcast_shapes(c.shape, shape) == shape
    return Known(a.dtype, shape) if depth == inner and is_fitting else None


@rule("BatchNormalization", since=9)
def _batch_norm(node: Node, x: Known, *parameters: Known) -> Known | None:
    is_fitting = x.rank > 1 and all(each.shape == x.shape[1:2] for each in parameters)
    return Known(x.dtype, x.shape) if is_fitting and are_floats(x, *parameters) else None


@rule("LayerNormalization", since=17)
def _layer_norm(node: Node, x: Known, *parameters: Known) -> Known | None:
    axis = argument(node, "axis")
    if not is_axis(axis, x.rank) or not are_floats(x, *parameters):
        return None
    inner = x.shape[axis:]
    is_fitting = all(np.broadcast_shapes(each.shape, inner) == inner for each in parameters)
    return Known(x.dtype, x.shape) if is_fitting else None


@rule("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")
def _reduction(node: Node, x: Known, axes: Known | None = None) -> Known | None:
    named = axes_of(node, x.rank)
    if not are_floats(x) or x.array is not None or not named or 0 in x.shape:
        return None
    if not all(is_axis(axis, x.rank) for axis in named):
        return None
    dropped = {axis % x.rank for axis in named}
    if argument(node, "keepdims"):
        return Known(x.dtype, tuple(1 if i in dropped else n for i, n in enumerate(x.shape)))
    return Known(x.dtype, tuple(n for i, n in enumerate(x.shape) if i not in dropped))
