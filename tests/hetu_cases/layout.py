"""Shapes, blocks, lookups and scattering."""

from typing import Any

import numpy as np
import torch

from hetu.api import hetu_ops as ops
from hetu.api.value import Value
from tests.hetu_cases.case import X, case, f, i

IDS = i([3, 1, 3], [0, 7, 1])


def split_oracle(x: torch.Tensor) -> torch.Tensor:
    return x[:2, 4:]


def block(x: torch.Tensor, content: Any) -> torch.Tensor:
    result = x.clone()
    result[1:3, 2:] = content
    return result


def tril(x: torch.Tensor, offset: int) -> torch.Tensor:
    rows, columns = np.tril_indices(x.shape[-1], offset)
    return x[..., rows, columns]


def square(x: torch.Tensor, side: int, offset: int) -> torch.Tensor:
    result = torch.zeros(*x.shape[:-1], side, side)
    rows, columns = np.tril_indices(side, offset)
    result[..., rows, columns] = x
    return result


def rows_or_zeros(table: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    ids = ids.long()
    is_valid = (ids >= 0) & (ids < len(table))
    return torch.where(is_valid[..., None], table[ids * is_valid], 0)


def deduplicated(rows: torch.Tensor, ids: np.ndarray, sums: bool) -> torch.Tensor:
    flat = rows.reshape(-1, rows.shape[-1])
    unique, inverse = np.unique(ids, return_inverse=True)
    result = torch.zeros_like(flat)
    for k in range(len(unique)):
        mine = flat[np.flatnonzero(inverse.reshape(-1) == k)]
        result[k] = mine.sum(0) if sums else mine[0]
    return result.reshape(rows.shape)


def dense_sum(ids: torch.Tensor, rows: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    return dense.index_add(0, ids.reshape(-1), rows.reshape(-1, rows.shape[-1]))


def offsets(ids: Value) -> Value:
    return ops.unique_indices_offsets_op(ops.unique_indices_op(ids))


SHAPE = [
    case("array_reshape_op", X, output_shape=(2, -1), to=lambda x: x.reshape(2, -1)),
    case("reshape_to_op", X, f(2, 6), constant=(1,), to=lambda x, t: x.reshape(t.shape)),
    case("transpose_op", f(2, 3, 4), to=lambda x: x.permute(2, 1, 0)),
    case("transpose_op", f(2, 3, 4), perm=(1, 0, 2), to=lambda x: x.permute(1, 0, 2)),
    case("broadcastto_op", f(3, 1), f(2, 3, 4), constant=(1,), to=lambda x, t: x.expand(t.shape)),
    case("broadcast_shape_op", f(3, 2), shape=(3, 4, 2), add_axes=(1,),
         to=lambda x: x[:, None].expand(3, 4, 2)),
    case("broadcast_shape_op", f(2), shape=(3, 2), to=lambda x: x.expand(3, 2)),
    case("concat_op", f(2, 3), f(2, 2), axis=1, to=lambda a, b: torch.cat([a, b], 1)),
    case("concatenate_op", f(2, 3), f(1, 3), f(2, 3), to=lambda *x: torch.cat(x),
         make=lambda *x: ops.concatenate_op(list(x))),
    case("split_op", f(4, 7), axes=[0, 1], indices=[0, 2], splits=[2, 3], to=split_oracle),
    case("slice_op", f(3, 4), begin=(1, 1), size=(-1, 2), to=lambda x: x[1:, 1:3]),
    case("slice_assign_op", f(4, 4), begin=(1, 2), size=(2, -1), val=5.0, to=lambda x: block(x, 5)),
    case("slice_assign_matrix_op", f(4, 4), f(3, 3), begin_A=(1, 2), size_A=(2, 2),
         begin_B=(0, 1), size_B=(2, 2), to=lambda a, b: block(a, b[:2, 1:])),
    case("slice_by_matrix_op", f(2, 3, 4), i(1, 0, 1), i(2, 2, 0), to=lambda x, a, b: x[a, b]),
    case("tile_op", X, reps=(2, 1, 3), to=lambda x: x.tile(2, 1, 3)),
    case("tile_op", X, reps=2, to=lambda x: x.tile(2)),
    case("repeat_op", X, reps=(2, 3), to=lambda x: x.tile(2, 3)),
    case("roll_op", X, shift=6, axis=1, to=lambda x: x.roll(6, 1)),
    case("roll_op", X, shift=(1, -1), axis=(0, 1), to=lambda x: x.roll((1, -1), (0, 1))),
    case("roll_op", X, shift=5, to=lambda x: x.roll(5)),
    case("roll_op", X, shift=4, axis=-1, to=lambda x: x),
    case("one_hot_op", i([0, 3], [-1, 4]), num_classes=4,
         to=lambda x: (x[..., None] == torch.arange(4)).float()),
    case("one_hot_op", np.float32([2, 1]), num_classes=3, constant=None,
         to=lambda x: torch.eye(3)[[2, 1]]),
    *(
        case("tril_lookup_op", f(2, 4, 4), offset=offset, to=lambda x, k=offset: tril(x, k))
        for offset in (0, -1, 2)
    ),
    *(
        case("tril_lookup_gradient_op", f(2, len(np.tril_indices(side, offset)[0])), offset=offset,
             to=lambda x, n=side, k=offset: square(x, n, k))
        for side, offset in [(4, 0), (4, -1), (5, -3), (4, 1), (3, 3), (2, 4)]
    ),
]  # fmt: skip

INDEXING = [
    case("embedding_lookup_op", f(5, 2), i([3, 1, 3], [0, 7, -1], element=np.int32),
         to=rows_or_zeros),
    case("embedding_lookup_op", np.float32([[np.inf, np.nan], [1, 2]]), i(1, 2), constant=None,
         to=rows_or_zeros),
    case("embedding_lookup_op", f(5, 2).astype(np.float64), i(4, 5), to=rows_or_zeros),
    case("embedding_lookup_op", f(5, 2), np.float32([4, 4, 0]), constant=(1,), to=rows_or_zeros),
    case("sparse_embedding_lookup_op", f(5, 2), i([3, 1], [3, 0]), to=lambda t, k: t[k]),
    case("gather_op", X, i([2, 0], [1, 1], [3, 2]), dim=1, to=lambda x, k: x.gather(1, k)),
    case("indexing_op", X, i(2, 0, 2).astype(np.float32), constant=(1,),
         to=lambda x, k: x[k.long()]),
    case("scatter1d_op", X, i(2, 0, 1), to=lambda x, k: torch.zeros_like(x).index_copy(0, k, x)),
    case("scatter_op", f(4, 3), i([2, 0, 1]), f(1, 3), to=lambda x, k, s: x.scatter(0, k, s)),
    case("sum_op", X, f(1), f(4), to=lambda *x: x[0] + x[1] + x[2],
         make=lambda *x: ops.sum_op(list(x))),
    case("sum_sparse_gradient_op", i([3, 1], [3, 0]), f(2, 2, 3), f(4, 3), oldest=16,
         to=dense_sum, make=lambda k, r, d: ops.sum_sparse_gradient_op((4, 3), (k, r), d)),
    case("unique_indices_op", i([3, 1, 3], [0, 7, 1], element=np.int32),
         to=lambda x: torch.tensor([[0, 1, 3], [7, -1, -1]])),
    case("deduplicate_lookup_op", IDS, f(2, 3, 2), to=lambda k, x: deduplicated(x, IDS, False),
         make=lambda k, x: ops.deduplicate_lookup_op(x, offsets(k))),
    case("deduplicate_grad_op", IDS, f(2, 3, 2), to=lambda k, x: deduplicated(x, IDS, True),
         oldest=16, make=lambda k, x: ops.deduplicate_grad_op(x, offsets(k))),
]  # fmt: skip
