"""Shapes, layout and blocks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hetu.api.hetu_ops.parts import END, as_ids, as_list, cast, dims, filled, like, rank
from hetu.api.value import Value, constant, make
from hetu.types import BOOL, FLOAT32, INT64, dtype


def array_reshape_op(node: Value, output_shape: Sequence[int], ctx: Any = None) -> Value:
    """The same elements in another shape; one dimension may be -1."""
    return make("Reshape", node, list(output_shape))


def reshape_to_op(node: Value, target: Value, ctx: Any = None) -> Value:
    """The elements of `node` in the shape of `target`."""
    return make("Reshape", node, make("Shape", target))


def transpose_op(node_A: Value, perm: Sequence[int] | None = None, ctx: Any = None) -> Value:
    """The axes in the order `perm`, by default in reverse order."""
    return make("Transpose", node_A, perm=perm)


def broadcastto_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """`node_A` repeated to the shape of `node_B`, by numpy's rule."""
    return make("Expand", node_A, make("Shape", node_B))


def broadcast_shape_op(
    node_A: Value, shape: Sequence[int], add_axes: Sequence[int] = (), ctx: Any = None
) -> Value:
    """`node_A` repeated to a shape; `add_axes` are the axes of the result that are new."""
    if add_axes:
        node_A = make("Unsqueeze", node_A, axes=as_list(add_axes))
    return make("Expand", node_A, list(shape))


def concat_op(node_A: Value, node_B: Value, axis: int = 0, ctx: Any = None) -> Value:
    """Two values one after the other along an axis."""
    return make("Concat", node_A, node_B, axis=axis)


def concatenate_op(node_list: Sequence[Value], axis: int = 0, ctx: Any = None) -> Value:
    """Several values one after the other along an axis."""
    return make("Concat", *node_list, axis=axis)


def split_op(
    node: Value,
    axes: Sequence[int],
    indices: Sequence[int],
    splits: Sequence[int],
    ctx: Any = None,
) -> Value:
    """One part of a value: along each of the axes, number `index` of `splits` chunks.

    Chunks are of the same size, but the last one takes the remainder.
    """
    size = make("Div", dims(node, *axes), constant(splits, INT64))
    start = make("Mul", size, constant(indices, INT64))
    is_last = [index == count - 1 for index, count in zip(indices, splits, strict=True)]
    to_the_end = constant([END if last else 0 for last in is_last], INT64)
    end = make("Max", make("Add", start, size), to_the_end)
    return make("Slice", node, starts=start, ends=end, axes=list(axes))


def slice_op(node: Value, begin: Sequence[int], size: Sequence[int], ctx: Any = None) -> Value:
    """The block that begins at `begin`; a size of -1 reaches to the end of its axis."""
    ends = [END if n == -1 else first + n for first, n in zip(begin, size, strict=True)]
    return make("Slice", node, starts=list(begin), ends=ends, axes=list(range(len(ends))))


def slice_assign_op(
    node: Value, begin: Sequence[int], size: Sequence[int], val: float, ctx: Any = None
) -> Value:
    """`node` with the number `val` in the block that `slice_op` would take."""
    block = slice_op(node, begin, size)
    return make("Where", _inside(block, node, begin), like(val, node), node)


def slice_assign_matrix_op(
    node_A: Value,
    node_B: Value,
    begin_A: Sequence[int],
    size_A: Sequence[int],
    begin_B: Sequence[int],
    size_B: Sequence[int],
    ctx: Any = None,
) -> Value:
    """`node_A` with a block of `node_B` in the place of one of its own, of the same size."""
    block = slice_op(node_B, begin_B, size_B)
    patch = make("Pad", block, pads=_margins(block, node_A, begin_A))
    return make("Where", _inside(block, node_A, begin_A), patch, node_A)


def slice_by_matrix_op(node_A: Value, index1: Value, index2: Value, ctx: Any = None) -> Value:
    """The vectors `node_A[index1[n], index2[n]]`."""
    columns = [make("Unsqueeze", cast(index, INT64), axes=[-1]) for index in (index1, index2)]
    return make("GatherND", node_A, make("Concat", *columns, axis=-1))


def tile_op(node: Value, reps: int | Sequence[int], ctx: Any = None) -> Value:
    """`numpy.tile`: the value side by side, as often as `reps` says of the last axes."""
    counts = as_list(reps)
    known = rank(node)
    if known is None or known < len(counts):
        node = make("Expand", node, [1] * len(counts))
    if known is not None:
        return make("Tile", node, [1] * (known - len(counts)) + counts)
    n_spared = make("Sub", make("Shape", make("Shape", node)), constant([len(counts)], INT64))
    spared = filled(n_spared, 1, INT64)
    return make("Tile", node, make("Concat", spared, constant(counts, INT64), axis=0))


def repeat_op(node: Value, reps: int | Sequence[int], ctx: Any = None) -> Value:
    """`tile_op` under another name."""
    return tile_op(node, reps)


def roll_op(
    node: Value,
    shift: int | Sequence[int] = 0,
    axis: int | Sequence[int] | None = None,
    ctx: Any = None,
) -> Value:
    """`numpy.roll`: elements shifted along axes, those that fall off the end put to the front."""
    if axis is None:
        rolled = _roll(make("Reshape", node, [-1]), sum(as_list(shift)), 0)
        return make("Reshape", rolled, make("Shape", node))
    for distance, along in zip(*np.broadcast_arrays(as_list(shift), as_list(axis)), strict=True):
        node = _roll(node, int(distance), int(along))
    return node


def one_hot_op(node: Value, num_classes: int, ctx: Any = None) -> Value:
    """A new last axis with 1.0 at the position that an id names; ids out of range give zeros."""
    ids = as_ids(node)
    classes = like(np.arange(num_classes), ids)
    return cast(make("Equal", make("Unsqueeze", ids, axes=[-1]), classes), FLOAT32)


def tril_lookup_op(array: Value, offset: int = 0, ctx: Any = None) -> Value:
    """The lower triangles of square matrices up to the diagonal `offset`, each as a vector."""
    shape = make("Shape", array)
    is_kept = _triangle(make("Slice", shape, starts=[-2], ends=[END]), offset)
    flat_shape = make("Concat", _batch(shape, 2), constant([-1], INT64), axis=0)
    return make("Compress", make("Reshape", array, flat_shape), is_kept, axis=-1)


def tril_lookup_gradient_op(array: Value, offset: int = 0, ctx: Any = None) -> Value:
    """The inverse of `tril_lookup_op`: square matrices from vectors, with zeros in the rest."""
    side = _side(dims(array, -1), offset)
    square = make("Concat", side, side, axis=0)
    is_kept = _triangle(square, offset)
    kept = cast(is_kept, INT64)
    position = make("Mul", make("CumSum", kept, 0) - 1, kept)
    spread = make("Gather", array, position, axis=-1)
    masked = make("Where", is_kept, spread, like(0, array))
    return make("Reshape", masked, make("Concat", _batch(make("Shape", array), 1), square, axis=0))


def _margins(block: Value, node: Value, begin: Sequence[int]) -> Value:
    """The pads of a block that make it as large as `node`, in which it begins at `begin`."""
    first = constant(begin, INT64)
    after = make("Sub", make("Sub", make("Shape", node), make("Shape", block)), first)
    return make("Concat", first, after, axis=0)


def _inside(block: Value, node: Value, begin: Sequence[int]) -> Value:
    """True at the elements of `node` that a block covers."""
    ones = filled(make("Shape", block), 1, FLOAT32)
    return cast(make("Pad", ones, pads=_margins(block, node, begin)), BOOL)


def _roll(node: Value, distance: int, axis: int) -> Value:
    length = dims(node, axis)
    cut = make("Sub", length, make("Mod", constant([distance], INT64), length))
    head = make("Slice", node, starts=cut, ends=[END], axes=[axis])
    tail = make("Slice", node, starts=[0], ends=cut, axes=[axis])
    return make("Concat", head, tail, axis=axis)


def _batch(shape: Value, n_last: int) -> Value:
    """A shape without its last dimensions."""
    return make("Slice", shape, starts=[0], ends=[-n_last])


def _triangle(square: Value, offset: int) -> Value:
    """A flat mask of the lower triangle of a matrix of the shape `square`."""
    ones = filled(square, 1, INT64)
    rows, columns = make("CumSum", ones, 0), make("CumSum", ones, 1)
    is_kept = make("GreaterOrEqual", make("Add", rows, offset), columns)
    return make("Reshape", is_kept, [-1])


def _side(length: Value, offset: int) -> Value:
    """The side of a square whose lower triangle has `length` elements."""
    length = cast(length, dtype(np.float64))
    above, below = max(offset, 0), min(offset, 0)
    # Side n has n*n - (n-above)*(n-above-1)/2 elements for below = 0: solved for n.
    root = make("Sqrt", 8 * length + (8 * above * above + 8 * above + 1))
    side = (root - (2 * above + 1)) / 2 - below
    if above:
        is_full = make("Greater", constant(float(above**2), dtype(np.float64)), length)
        side = make("Where", is_full, make("Sqrt", length), side)
    return cast(side, INT64)
