"""Reductions, orders and running sums. A full reduction has the shape (1,)."""

import math
from collections.abc import Sequence
from typing import Any

from hetu.api.hetu_ops.elementwise import trailing_ones
from hetu.api.hetu_ops.parts import (
    END,
    as_ids,
    as_list,
    as_mask,
    cast,
    dims,
    like,
    without_scalar,
)
from hetu.api.value import Value, make
from hetu.errors import UsageError, show
from hetu.types import FLOAT32, INT32

Axes = int | Sequence[int]
Keep = bool | Sequence[bool]


def reduce_sum_op(node: Value, axes: Axes, keepdims: Keep = False, ctx: Any = None) -> Value:
    """The sum over some axes; `keepdims` may say for each of them whether it stays, with size 1."""
    return _reduce("ReduceSum", node, axes, keepdims)


def reduce_mean_op(node: Value, axes: Axes, keepdims: Keep = False, ctx: Any = None) -> Value:
    """The mean over some axes; `keepdims` as in `reduce_sum_op`."""
    return _reduce("ReduceMean", node, axes, keepdims)


def reduce_min_op(node: Value, axes: Axes, keepdims: Keep = False, ctx: Any = None) -> Value:
    """The smallest element over some axes; `keepdims` as in `reduce_sum_op`."""
    return _reduce("ReduceMin", node, axes, keepdims)


def reduce_mul_op(node: Value, axes: Axes, keepdims: Keep = False, ctx: Any = None) -> Value:
    """The product over some axes; `keepdims` as in `reduce_sum_op`."""
    return _reduce("ReduceProd", node, axes, keepdims)


def reduce_norm1_op(node: Value, axes: Axes, keepdims: Keep = False, ctx: Any = None) -> Value:
    """The sum of absolute values over some axes; `keepdims` as in `reduce_sum_op`."""
    return _reduce("ReduceL1", node, axes, keepdims)


def reduce_norm2_op(node: Value, axes: Axes, keepdims: Keep = False, ctx: Any = None) -> Value:
    """The Euclidean norm over some axes; `keepdims` as in `reduce_sum_op`."""
    return _reduce("ReduceL2", node, axes, keepdims)


def reducesumaxiszero_op(node: Value, ctx: Any = None) -> Value:
    """The sum over the first axis."""
    return reduce_sum_op(node, 0)


def norm_op(node: Value, axis: int, p: float = 2, keepdims: bool = True, ctx: Any = None) -> Value:
    """The p-norm along one axis."""
    if p in (1, 2):
        return _reduce("ReduceL1" if p == 1 else "ReduceL2", node, axis, keepdims)
    if p == math.inf:
        return _reduce("ReduceMax", make("Abs", node), axis, keepdims)
    if p <= 0:
        raise UsageError(f"norm_op: p is positive, not {show(p)}")
    powers = reduce_sum_op(make("Pow", make("Abs", node), p), axis, keepdims)
    # The root has no derivative at 0: there the gradient is 0 instead of undefined.
    is_positive = as_mask(powers)
    root = make("Pow", make("Where", is_positive, powers, like(1, powers)), 1 / p)
    return make("Where", is_positive, root, like(0, powers))


def argmax_op(node: Value, dim: int = 0, ctx: Any = None) -> Value:
    """The position of the largest element along an axis, the first of several."""
    found = make("ArgMax", node, axis=dim, keepdims=0)
    return cast(without_scalar(found, node, 1), INT32)


def argmax_partial_op(node: Value, use_full: Value, topk: int, dim: int, ctx: Any = None) -> Value:
    """`argmax_op`, but of only the first `topk` elements where `use_full`, one flag a row, is 0."""
    full = argmax_op(node, dim)
    partial = argmax_op(make("Slice", node, starts=[0], ends=[topk], axes=[dim]), dim)
    return cast(make("Where", trailing_ones(as_mask(use_full), full), full, partial), INT32)


def argsort_op(node: Value, dim: int = 1, descending: bool = False, ctx: Any = None) -> Value:
    """The positions along an axis in the order of their elements, as floats."""
    _, order = make("TopK", node, dims(node, dim), axis=dim, largest=descending)
    return cast(order, FLOAT32)


def max_op(
    node_A: Value,
    node_B: Value | None = None,
    dim: int = 0,
    keepdim: bool = False,
    ctx: Any = None,
) -> Value:
    """The largest element along an axis, or the larger of each two elements of two values."""
    if node_B is not None:
        return make("Max", node_A, node_B)
    return _reduce("ReduceMax", node_A, dim, keepdim)


def min_op(
    node_A: Value,
    node_B: Value | None = None,
    dim: int = 0,
    keepdim: bool = False,
    ctx: Any = None,
) -> Value:
    """The smallest element along an axis, or the smaller of each two elements of two values."""
    if node_B is not None:
        return make("Min", node_A, node_B)
    return _reduce("ReduceMin", node_A, dim, keepdim)


def topk_idx_op(node: Value, topk: int, ctx: Any = None) -> Value:
    """The columns of the `topk` largest elements of each row, as floats; equals from the last."""
    mirrored = make("Slice", node, starts=[-1], ends=[-END], axes=[1], steps=[-1])
    _, found = make("TopK", mirrored, [topk], axis=1)
    return cast(make("Sub", dims(node, 1) - 1, found), FLOAT32)


def topk_val_op(nodeA: Value, nodeB: Value, ctx: Any = None) -> Value:
    """The elements of each row of `nodeA` at the columns `nodeB`."""
    return make("GatherElements", nodeA, as_ids(nodeB), axis=1)


def cumsum_with_bias_op(node: Value, bias: float = -1, dim: int = 0, ctx: Any = None) -> Value:
    """The running sum along an axis, plus `bias`."""
    return make("CumSum", node, dim) + bias


def _reduce(op_type: str, node: Value, axes: Axes, keepdims: Keep) -> Value:
    reduced = as_list(axes)
    kept = list(keepdims) if isinstance(keepdims, Sequence) else [keepdims] * len(reduced)
    if len(kept) != len(reduced):
        raise UsageError(f"{op_type}: keepdims has {len(kept)} entries for {len(reduced)} axes")
    if not any(kept):
        result = make(op_type, node, axes=reduced, keepdims=0)
        return without_scalar(result, node, len(reduced))
    result = make(op_type, node, axes=reduced, keepdims=1)
    dropped = [axis for axis, keep in zip(reduced, kept, strict=True) if not keep]
    return make("Squeeze", result, axes=dropped) if dropped else result
