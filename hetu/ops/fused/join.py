"""Weights that are needed side by side."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch

from hetu import pages
from hetu.convert import to_numpy
from hetu.ops.kinds import Indices, Tensor
from hetu.ops.registry import FUSED, op

_MOST_APART = 2
"""So many times their own bytes, tables may lie apart and be taken for one with gaps."""


@op("JoinWeights", domain=FUSED)
def join_weights(*weights: Tensor, axis: int) -> Tensor:
    """The weights one after the other along an axis.

    numpy copies them in this thread: another one takes longer to wake than it saves.
    """
    if any(weight.device.type != "cpu" for weight in weights):
        return torch.cat(weights, axis)
    shape = list(weights[0].shape)
    shape[axis] = sum(weight.shape[axis] for weight in weights)
    memory = torch.from_numpy(pages.empty(sum(weight.nbytes for weight in weights)))
    joined = memory.view(weights[0].dtype).view(shape)
    np.concatenate([to_numpy(weight) for weight in weights], axis, out=to_numpy(joined))
    return joined


@op("JoinTables", domain=FUSED)
def join_tables(*tables: Tensor) -> tuple[Tensor, Indices, Indices]:
    """Tables (rows, width) in one, and the first and the last row of each in there.

    Tables that lie near each other in memory, whole rows apart, stay where they are: what is
    between them is part of the one, and not to be read.
    """
    joined = _where_they_lie(tables)
    if joined is None:
        joined = join_weights(*tables, axis=0)
        firsts = [0, *accumulate(len(table) for table in tables[:-1])]
    else:
        row = tables[0][0].nbytes
        firsts = [(table.data_ptr() - joined.data_ptr()) // row for table in tables]
    lasts = [first + len(table) - 1 for first, table in zip(firsts, tables, strict=True)]
    first_rows, last_rows = torch.tensor([firsts, lasts], device=joined.device).unbind()
    return joined, first_rows, last_rows


def _where_they_lie(tables: Sequence[Tensor]) -> Tensor | None:
    """The memory of all tables as one table; None where they do not lie so."""
    if any(table.device.type != "cpu" or not table.is_contiguous() for table in tables):
        return None
    if not all(table.numel() for table in tables):
        return None
    width, row = tables[0].shape[1], tables[0][0].nbytes
    begin = min(table.data_ptr() for table in tables)
    nbytes = max(table.data_ptr() + table.nbytes for table in tables) - begin
    if any((table.data_ptr() - begin) % row for table in tables):
        return None
    if nbytes > _MOST_APART * sum(table.nbytes for table in tables):
        return None
    storages = [table.untyped_storage() for table in tables]
    memory = torch.from_numpy(pages.at(begin, nbytes, storages))
    return memory.view(tables[0].dtype).view(-1, width)
