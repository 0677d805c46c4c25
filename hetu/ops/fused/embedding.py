"""Look-ups in several tables at once."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.kinds import Indices, Ints, Tensor
from hetu.ops.registry import FUSED, op


@op("StackTables", domain=FUSED)
def stack_tables(*tables: Tensor) -> Tensor:
    return torch.cat(tables)


@op("Lookup", domain=FUSED)
def lookup(
    indices: Indices, stacked: Tensor, sizes: Indices, starts: Indices, *, columns: Ints
) -> Tensor:
    """Rows of stacked tables, side by side: column `columns[i]` looks up in the i-th table.

    `sizes` are the tables' numbers of rows, `starts` where they begin. Raises `IndexError` for an
    index outside of its table.
    """
    chosen = _chosen(indices, columns).long()
    if chosen.numel():
        low, high = chosen.reshape(-1, len(columns)).aminmax(dim=0)
        if ((high >= sizes) | (low < -sizes)).any():
            raise IndexError("an index is outside of its table")
        if (low < 0).any():
            chosen = torch.where(chosen < 0, chosen + sizes, chosen)
    return F.embedding(chosen + starts, stacked).flatten(-2)


def _chosen(indices: Tensor, columns: Ints) -> Tensor:
    first, count = columns[0], len(columns)
    if columns == tuple(range(first, first + count)):
        return indices.narrow(-1, first, count)
    return indices[..., list(columns)]
