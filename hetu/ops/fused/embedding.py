"""Look-ups in several tables at once."""

import torch

from hetu.ops.kinds import Indices, Ints, Tensor
from hetu.ops.registry import FUSED, op


@op("StackTables", domain=FUSED)
def stack_tables(*tables: Tensor) -> Tensor:
    return torch.cat(tables)


@op("Lookup", domain=FUSED)
def lookup(
    indices: Indices, stacked: Tensor, lasts: Indices, starts: Indices, *, columns: Ints
) -> Tensor:
    """Rows of stacked tables, side by side: column `columns[i]` looks up in the i-th table.

    `lasts` are the tables' last rows, `starts` where they begin. Raises `IndexError` for an index
    outside of its table.
    """
    chosen = _chosen(indices, columns).long()
    if not _are_within(chosen, lasts):
        chosen = torch.where(chosen < 0, chosen + lasts + 1, chosen)
        if not _are_within(chosen, lasts):
            raise IndexError("an index is outside of its table")
    return torch.embedding(stacked, chosen + starts).flatten(-2)


def _are_within(indices: Tensor, lasts: Tensor) -> bool:
    """Whether all indices are rows of their tables, counted from the first."""
    return torch.equal(indices.minimum(lasts).clamp_min(0), indices)


def _chosen(indices: Tensor, columns: Ints) -> Tensor:
    first, count = columns[0], len(columns)
    if columns == tuple(range(first, first + count)):
        return indices.narrow(-1, first, count)
    return indices[..., list(columns)]
