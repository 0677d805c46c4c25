"""Look-ups in several tables at once."""

import torch

from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import FUSED, op


@op("StackTables", domain=FUSED)
def stack_tables(*tables: Tensor) -> Tensor:
    return torch.cat(tables)


@op("Lookup", domain=FUSED)
def lookup(indices: Any, stacked: Tensor, *, columns: Ints, sizes: Ints) -> Tensor:
    """Rows of stacked tables, side by side: column `columns[i]` looks up in the i-th table.

    `sizes` are the tables' numbers of rows. Raises `IndexError` for an index outside of its table.
    """
    chosen = indices[..., list(columns)].long()
    rows = torch.tensor(sizes, device=chosen.device)
    chosen = torch.where(chosen < 0, chosen + rows, chosen)
    if ((chosen < 0) | (chosen >= rows)).any():
        raise IndexError("an index is outside of its table")
    return stacked[chosen + (rows.cumsum(0) - rows)].flatten(-2)
