"""Tables of which each step uses, and changes, a few rows."""

from typing import Any

import torch
from torch.nn.functional import embedding, pad

from hetu.ops.kinds import Context, Indices, Tensor
from hetu.ops.registry import op


class _Lookup(torch.autograd.Function):
    """An embedding with a sparse gradient, in which ids out of range do not appear."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        is_valid = _is_valid(table, ids)
        ctx.save_for_backward(ids, is_valid)
        ctx.shape = table.shape
        return _rows(table, ids, is_valid)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        ids, is_valid = ctx.saved_tensors
        indices = ids[is_valid].unsqueeze(0)
        return torch.sparse_coo_tensor(indices, grads[0][is_valid], ctx.shape), None


def _is_valid(table: Tensor, ids: Tensor) -> Tensor:
    return (ids >= 0) & (ids < len(table))


def _rows(table: Tensor, ids: Tensor, is_valid: Tensor) -> Tensor:
    return embedding(ids.where(is_valid, 0), table).masked_fill(~is_valid.unsqueeze(-1), 0)


@op(
    "EmbeddingLookup",
    domain="hetu",
    body="""
    <domain: "hetu", opset_import: ["" : 13]>
    EmbeddingLookup (table, ids) => (rows) {
        zero = Constant <value = int64 {0}> ()
        last = Constant <value = int64[1] {-1}> ()
        wide = Cast <to = 7> (ids)
        shape = Shape (table)
        count = Gather (shape, zero)
        is_small = Less (wide, count)
        is_negative = Less (wide, zero)
        is_natural = Not (is_negative)
        is_valid = And (is_small, is_natural)
        safe = Where (is_valid, wide, zero)
        found = Gather (table, safe)
        is_kept = Unsqueeze (is_valid, last)
        start = Constant <value = int64[1] {0}> ()
        empty = Slice (table, start, start)
        pads = Constant <value = int64[4] {1, 0, 0, 0}> ()
        zeros = Pad (empty, pads)
        rows = Where (is_kept, found, zeros)
    }
    """,
)
def embedding_lookup(table: Tensor, ids: Tensor, *, ctx: Context) -> Tensor:
    if ctx.sparse:
        return _Lookup.apply(table, ids)
    return _rows(table, ids, _is_valid(table, ids))


@op(
    "UniqueIndices",
    domain="hetu",
    body="""
    <domain: "hetu", opset_import: ["" : 13]>
    UniqueIndices (ids) => (unique) {
        zero = Constant <value = int64[1] {0}> ()
        filling = Constant <value = int64 {-1}> ()
        flat = Constant <value = int64[1] {-1}> ()
        wide = Cast <to = 7> (ids)
        vector = Reshape (wide, flat)
        found = Unique (vector)
        length = Shape (vector)
        count = Shape (found)
        missing = Sub (length, count)
        pads = Concat <axis = 0> (zero, missing)
        padded = Pad (found, pads, filling)
        shape = Shape (ids)
        unique = Reshape (padded, shape)
    }
    """,
)
def unique_indices(ids: Tensor) -> Indices:
    found = torch.unique(ids.long())
    return pad(found, (0, ids.numel() - len(found)), value=-1).reshape(ids.shape)
