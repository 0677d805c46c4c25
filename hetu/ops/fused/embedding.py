"""Look-ups in several tables at once."""

from functools import lru_cache

import torch
from torch.autograd.function import once_differentiable

from hetu.ops import native
from hetu.ops.indices import from_start
from hetu.ops.kinds import Any, Indices, Ints, Tensor
from hetu.ops.registry import FUSED, op


@op("Lookup", domain=FUSED)
def lookup(
    indices: Indices, joined: Tensor, firsts: Indices, lasts: Indices, *, columns: Ints
) -> Tensor:
    """Rows of joined tables, side by side: column `columns[i]` looks up in the i-th table.

    The tables lie from row `firsts` to row `lasts`. Raises `IndexError` for an index outside of its
    table.
    """
    chosen = _chosen(indices, columns).long()
    rows = chosen + firsts
    if not _are_within(rows, firsts, lasts):
        rows = torch.where(chosen < 0, chosen + lasts + 1, rows)
        if not _are_within(rows, firsts, lasts):
            raise IndexError("an index is outside of its table")
    return torch.embedding(joined, rows).flatten(-2)


def _are_within(rows: Tensor, firsts: Tensor, lasts: Tensor) -> bool:
    """Whether all rows lie in their tables."""
    return torch.equal(rows.clamp(firsts, lasts), rows)


def _chosen(indices: Tensor, columns: Ints) -> Tensor:
    first, count = columns[0], len(columns)
    if columns != _following(first, count):
        return indices[..., list(columns)]
    return indices if count == indices.shape[-1] else indices.narrow(-1, first, count)


@lru_cache
def _following(first: int, count: int) -> Ints:
    return tuple(range(first, first + count))


@op("PackedLookup", domain=FUSED)
def packed_lookup(indices: Indices, w: Any) -> Tensor:
    """Rows of a table (rows, width) that `PackLinear` made the weight of a product of."""
    return native.table_rows(w, indices.long())


@op("TrainedLookup", domain=FUSED)
def trained_lookup(indices: Indices, sizes: Indices, *tables: Tensor, columns: Ints) -> Tensor:
    """`lookup` in tables of the same width as they are, which may train."""
    chosen = from_start(_chosen(indices, columns), sizes)
    rows = chosen.reshape(-1, len(tables)).t().contiguous()
    return _Rows.apply(rows, *tables).unflatten(0, indices.shape[:-1])


@op("Detached", domain=FUSED)
def detached(x: Tensor) -> Tensor:
    """`x`, whose gradient stays its own."""
    return x.detach()


@op("PlusRows", domain=FUSED)
def plus_rows(gradient: Tensor, *pairs: Tensor) -> Tensor:
    """The gradient of a table, plus those of rows: indices and gradients of what they look up.

    It is changed in place, which is for passes that know that nothing else needs it.
    """
    for indices, rows in zip(pairs[::2], pairs[1::2], strict=True):
        chosen = from_start(indices.reshape(-1).to(gradient.device), len(gradient))
        gradient.index_add_(0, chosen, rows.reshape(-1, gradient.shape[1]).to(gradient.dtype))
    return gradient


class _Rows(torch.autograd.Function):
    """Rows of tables, (length, tables * width), for row numbers, (tables, length)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, *tables: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shapes = [table.shape for table in tables]
        found = tables[0].new_empty(rows.shape[1], len(tables), tables[0].shape[1])
        for table, row, part in zip(tables, rows.unbind(), found.unbind(1), strict=True):
            torch.index_select(table, 0, row, out=part)
        return found.flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (rows,) = ctx.saved_tensors
        sides = len(rows), ctx.shapes[0][1]
        parts = gradients[0].unflatten(1, sides).transpose(0, 1).contiguous()
        each = zip(rows, parts, ctx.shapes, ctx.needs_input_grad[1:], strict=True)
        sums = (_sum(row, part, shape) if needed else None for row, part, shape, needed in each)
        return None, *sums


def _sum(rows: Tensor, parts: Tensor, shape: torch.Size) -> Tensor:
    """A tensor of zeros, but for the sums of the parts that belong to the same row."""
    return torch.ops.aten.embedding_dense_backward(parts, rows, shape[0], -1, False)
