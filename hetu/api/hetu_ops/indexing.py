"""Lookups in tables, scattering, and sparse gradients taken apart."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hetu.api.hetu_ops.elementwise import zeroslike_op
from hetu.api.hetu_ops.parts import END, as_ids, cast, dims, filled, like
from hetu.api.opset import version_for
from hetu.api.value import Value, constant, make
from hetu.errors import UsageError
from hetu.types import INT32, INT64
from hetu.types import dtype as find_dtype


def embedding_lookup_op(embedding: Value, index: Value, ctx: Any = None) -> Value:
    """The rows of a table that ids name; zeros for ids out of range.

    Optimizers update only the rows that were looked up, with their states.
    """
    return make("EmbeddingLookup", embedding, as_ids(index), domain="hetu")


def sparse_embedding_lookup_op(embedding: Value, index: Value, ctx: Any = None) -> Value:
    """The rows of a table, which may be fed as a sparse matrix, that ids name."""
    return make("Gather", embedding, as_ids(index), axis=0)


def gather_op(node: Value, dim: int, index: Value, ctx: Any = None) -> Value:
    """The elements at the positions `index` along an axis; the result has the shape of `index`."""
    return make("GatherElements", node, as_ids(index), axis=dim)


def indexing_op(input_mat: Value, index_mat: Value, ctx: Any = None) -> Value:
    """The rows that `index_mat` names."""
    return make("Gather", input_mat, as_ids(index_mat), axis=0)


def scatter1d_op(input_mat: Value, index_mat: Value, ctx: Any = None) -> Value:
    """Each row at the position that `index_mat` names, zeros elsewhere."""
    return make("ScatterND", zeroslike_op(input_mat), _column(index_mat), input_mat)


def scatter_op(node1: Value, node2: Value, node3: Value, ctx: Any = None) -> Value:
    """`node1` with the elements of `node3` at the positions `node2` along the first axis."""
    return make("ScatterElements", node1, as_ids(node2), node3, axis=0)


def sum_op(node_list: Sequence[Value], sparse: bool = False, ctx: Any = None) -> Value:
    """The sum of several values, with numpy's broadcasting; `sparse` has no effect."""
    return make("Sum", *node_list)


def sum_sparse_gradient_op(
    dense_shape: Sequence[int],
    *pairs_or_denses: Value | tuple[Value, Value],
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """The sum of gradients of one table, each a value or a pair (ids, rows at these ids)."""
    total = filled(list(dense_shape), 0, find_dtype(dtype))
    for gradient in pairs_or_denses:
        if isinstance(gradient, tuple):
            ids, rows = gradient
            total = _row_sum(total, ids, rows)
        else:
            total = make("Add", total, gradient)
    return total


def unique_indices_op(indices: Value, ctx: Any = None) -> Value:
    """The different ids, in ascending order, filled up with -1 to the shape of `indices`."""
    return make("UniqueIndices", indices, domain="hetu")


def unique_indices_offsets_op(unique: Value, ctx: Any = None) -> Value:
    """Where the ids of `unique_indices_op` stand in what it was given.

    With n ids, a vector of 2n + 2 numbers: how many different ones there are; their n positions,
    grouped by id; and n + 1 offsets, at which the group of each id begins and the last one ends.
    """
    if unique.op_type != "UniqueIndices":
        raise UsageError("unique_indices_offsets_op: give what unique_indices_op returned")
    ids = make("Reshape", cast(unique.inputs[0], INT64), [-1])
    _, _, inverse, counts = make("Unique", ids, outputs=4)
    length = make("Shape", ids)
    _, positions = make("TopK", inverse, length, largest=0)
    rest = make("Expand", length, make("Sub", length, make("Shape", counts)))
    offsets = make("CumSum", counts, 0)
    parts = [make("Shape", counts), positions, constant([0], INT64), offsets, rest]
    return cast(make("Concat", *parts, axis=0), INT32)


def deduplicate_lookup_op(lookup: Value, idoffsets: Value, ctx: Any = None) -> Value:
    """The row of each different id, in the order of `unique_indices_op`, then zeros."""
    rows, length = _rows(lookup)
    positions, offsets = _groups(idoffsets, length)
    first = make("Slice", offsets, starts=[0], ends=length)
    is_used = make("Less", first, length)
    position = make("Gather", positions, make("Min", first, length - 1))
    picked = make("Gather", rows, position)
    kept = make("Where", make("Unsqueeze", is_used, axes=[1]), picked, like(0, lookup))
    return make("Reshape", kept, make("Shape", lookup))


def deduplicate_grad_op(grad: Value, idoffsets: Value, ctx: Any = None) -> Value:
    """The sum of the rows of each different id, in the order of `unique_indices_op`, then zeros."""
    rows, length = _rows(grad)
    positions, offsets = _groups(idoffsets, length)
    ends = make("Slice", offsets, starts=[1], ends=[END])
    marks = filled(length + 1, 0, INT64)
    marks = make("ScatterElements", marks, ends, filled(length, 1, INT64))
    group = make("CumSum", make("Slice", marks, starts=[0], ends=length), 0)
    sums = _row_sum(zeroslike_op(rows), group, make("Gather", rows, positions))
    return make("Reshape", sums, make("Shape", grad))


def _column(ids: Value) -> Value:
    """Ids in the form of ScatterND: each one a vector."""
    return make("Unsqueeze", cast(ids, INT64), axes=[-1])


def _row_sum(table: Value, ids: Value, rows: Value) -> Value:
    """A table with rows added to those that ids name."""
    if version_for("", [ids, rows]) < 16:
        raise UsageError("sums of rows by id need opset 16 or newer")
    return make("ScatterND", table, _column(ids), rows, reduction="add")


def _rows(node: Value) -> tuple[Value, Value]:
    """The vectors along the last axis as one matrix, and how many there are."""
    shape = make("Concat", constant([-1], INT64), dims(node, -1), axis=0)
    rows = make("Reshape", node, shape)
    return rows, dims(rows, 0)


def _groups(idoffsets: Value, length: Value) -> tuple[Value, Value]:
    """The positions and the offsets in what `unique_indices_offsets_op` returns."""
    numbers = cast(idoffsets, INT64)
    positions = make("Slice", numbers, starts=[1], ends=length + 1)
    return positions, make("Slice", numbers, starts=length + 1, ends=[END])
