"""Reading and writing elements at given indices: the Gather and Scatter operators."""

from collections.abc import Sequence

import torch

from hetu.errors import ModelError
from hetu.ops.autocast import together
from hetu.ops.indices import from_start
from hetu.ops.kinds import Indices, Ints, Tensor
from hetu.ops.registry import op
from hetu.ops.unsigned import ordered

_REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@op("Gather")
def gather(data: Tensor, indices: Indices, *, axis: int = 0) -> Tensor:
    if not -data.ndim <= axis < data.ndim:
        raise ModelError(f"axis {axis} of a tensor of rank {data.ndim}")
    axis %= data.ndim
    # Shapes stay on the host while the constants that index them are on the device; indices of
    # rank 1 keep torch from reading a single one back to the host.
    flat = indices.reshape(-1).to(data.device)
    picked = data[(slice(None),) * axis + (flat,)]
    return picked.reshape(data.shape[:axis] + indices.shape + data.shape[axis + 1 :])


@op("GatherElements", since=11)
def gather_elements(data: Tensor, indices: Indices, *, axis: int = 0) -> Tensor:
    return torch.gather(data, axis, from_start(indices, data.shape[axis]))


@op("GatherND", since=11)
def gather_nd(data: Tensor, indices: Indices, *, batch_dims: int = 0) -> Tensor:
    depth = indices.shape[-1]
    batch = _batch_indices(indices, batch_dims)
    picked = data[(*batch, *indices.reshape(-1, depth).unbind(-1))]
    return picked.reshape(indices.shape[:-1] + data.shape[batch_dims + depth :])


def _batch_indices(indices: torch.Tensor, batch_dims: int) -> list[torch.Tensor]:
    """For each index tuple, in order, where it stands along each of the leading dimensions."""
    shape = indices.shape[:-1]
    grids = []
    for i, size in enumerate(shape[:batch_dims]):
        steps = torch.arange(size, device=indices.device)
        grids.append(_along(steps, i, len(shape)).expand(shape).reshape(-1))
    return grids


@op("Scatter", since=9)
def scatter(data: Tensor, indices: Indices, updates: Tensor, *, axis: int = 0) -> Tensor:
    return scatter_elements(data, indices, updates, axis=axis)


@op("ScatterElements", since=11)
def scatter_elements(
    data: Tensor,
    indices: Indices,
    updates: Tensor,
    *,
    axis: int = 0,
    reduction: str = "none",
    unsigned: bool = False,
) -> Tensor:
    data, updates = together(data, updates)
    positions = from_start(indices, data.shape[axis])
    if reduction == "none":
        return torch.scatter(data, axis, positions, updates)
    return _reduce(data, axis, positions, updates, reduction, unsigned)


@op("ScatterND", since=11)
def scatter_nd(
    data: Tensor,
    indices: Indices,
    updates: Tensor,
    *,
    reduction: str = "none",
    unsigned: bool = False,
) -> Tensor:
    data, updates = together(data, updates)
    depth = indices.shape[-1]
    index = indices.reshape(-1, depth).unbind(-1)
    slices = updates.reshape(-1, *data.shape[depth:])
    if reduction == "none" or not depth:
        return data.index_put(index, slices, accumulate=reduction == "add")
    rows = _row_numbers(data.shape[:depth], index)
    flat = data.reshape(-1, *data.shape[depth:])
    if reduction == "add":  # to accumulate by index_put takes up to ten times as long
        return flat.index_add(0, rows, slices).reshape(data.shape)
    positions = _along(rows, 0, flat.ndim).expand(slices.shape)
    return _reduce(flat, 0, positions, slices, reduction, unsigned).reshape(data.shape)


def _reduce(
    data: torch.Tensor,
    axis: int,
    positions: torch.Tensor,
    updates: torch.Tensor,
    reduction: str,
    unsigned: bool,
) -> torch.Tensor:
    is_order = unsigned and reduction in ("max", "min")
    data, updates = ordered(data, is_order), ordered(updates, is_order)
    reduced = torch.scatter_reduce(data, axis, positions, updates, _REDUCTIONS[reduction])
    return ordered(reduced, is_order)


def _row_numbers(shape: Sequence[int], index: Sequence[torch.Tensor]) -> torch.Tensor:
    """Where index tuples point to if the dimensions of `shape` are flattened into one."""
    rows = index[0].new_zeros(index[0].shape)
    for size, positions in zip(shape, index, strict=True):
        rows = rows * size + from_start(positions, size)
    return rows


@op("TensorScatter", since=24)
def tensor_scatter(
    past_cache: Tensor,
    update: Tensor,
    write_indices: Indices | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Tensor:
    steps = torch.arange(update.shape[axis], device=update.device)
    starts = steps.new_zeros(update.shape[0]) if write_indices is None else write_indices
    positions = starts[:, None] + steps
    if mode == "circular":
        positions = positions % past_cache.shape[axis]
    samples = torch.arange(update.shape[0], device=update.device)[:, None]
    past_cache, update = together(past_cache, update)
    cache = past_cache.movedim(axis, 1)
    written = cache.index_put((samples, positions), update.movedim(axis, 1))
    return written.movedim(1, axis)


@op("ReverseSequence", since=10)
def reverse_sequence(
    input: Tensor, sequence_lens: Tensor, *, batch_axis: int = 1, time_axis: int = 0
) -> Tensor:
    steps = torch.arange(input.shape[time_axis], device=input.device)
    lengths = sequence_lens[:, None]
    sources = torch.where(steps < lengths, lengths - 1 - steps, steps)
    samples = torch.arange(input.shape[batch_axis], device=input.device)[:, None]
    return input[(samples, sources) if batch_axis == 0 else (sources.T, samples.T)]


def _along(values: torch.Tensor, axis: int, rank: int) -> torch.Tensor:
    """A vector as a tensor of `rank` dimensions that varies along one of them."""
    shape: Ints = (1,) * axis + (-1,) + (1,) * (rank - axis - 1)
    return values.reshape(shape)
