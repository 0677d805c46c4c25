"""Reductions, orders and running sums."""

import math

import numpy as np
import torch

from hetu.api import hetu_ops as ops
from tests.hetu_cases.case import AWAY, HOLES, X, Y, case, f, i

TIES = np.array([[1, 3, 3, 0], [2, 2, 2, 2]], np.float32)
REDUCTION = [
    case("reduce_sum_op", f(2, 3, 4), axes=[0, -1], to=lambda x: x.sum((0, 2))),
    case("reduce_sum_op", f(2, 3), axes=[0, 1], to=lambda x: x.sum()[None]),
    case("reduce_sum_op", f(3), axes=0, to=lambda x: x.sum()[None]),
    case("reduce_sum_op", f(2, 3, 4), axes=[0, 2], keepdims=[True, False],
         to=lambda x: x.sum((0, 2), keepdim=True)[..., 0]),
    case("reduce_mean_op", f(2, 3, 4), axes=1, keepdims=True, to=lambda x: x.mean(1, keepdim=True)),
    case("reduce_mean_op", f(2, 3), axes=[-1, -2], to=lambda x: x.mean()[None]),
    case("reduce_min_op", f(2, 3, 4), axes=[1], to=lambda x: x.amin(1)),
    case("reduce_mul_op", f(2, 3, 4), axes=[0, 2], to=lambda x: x.prod(2).prod(0)),
    case("reduce_mul_op", HOLES, axes=[1], to=lambda x: x.prod(1)),
    case("reduce_norm1_op", f(2, 3, 4), axes=[-1], to=lambda x: x.abs().sum(-1)),
    case("reduce_norm2_op", f(2, 3, 4), axes=[1, 2], keepdims=True,
         to=lambda x: x.pow(2).sum((1, 2), keepdim=True).sqrt()),
    case("reducesumaxiszero_op", f(3), to=lambda x: x.sum()[None]),
    case("reducesumaxiszero_op", f(3, 2), to=lambda x: x.sum(0)),
    case("norm_op", X, axis=1, p=1, keepdims=False, to=lambda x: x.norm(1, 1)),
    case("norm_op", X, axis=0, to=lambda x: x.norm(2, 0, keepdim=True)),
    case("norm_op", AWAY, axis=-1, p=3, to=lambda x: x.norm(3, -1, keepdim=True)),
    case("norm_op", X, axis=1, p=math.inf, to=lambda x: x.norm(math.inf, 1, keepdim=True)),
    case("norm_op", np.zeros((2, 3), np.float32), axis=1, p=3,
         to=lambda x: torch.linalg.vector_norm(x, 3, 1, keepdim=True)),
    case("argmax_op", X, dim=1, to=lambda x: x.argmax(1).int(), constant=None),
    case("argmax_op", f(5), to=lambda x: x.argmax(0)[None].int(), constant=None),
    case("argmax_partial_op", f(4, 5), i(1, 0, 1, 0, element=np.int32), topk=2, dim=1,
         constant=None, to=lambda x, u: torch.where(u != 0, x.argmax(1), x[:, :2].argmax(1)).int()),
    case("argmax_partial_op", f(2, 5, 3), i(1, 0, element=np.int32), topk=2, dim=1, constant=None,
         to=lambda x, u: torch.where(u[:, None] != 0, x.argmax(1), x[:, :2].argmax(1)).int()),
    case("argsort_op", X, to=lambda x: x.argsort(1).float(), constant=None),
    case("argsort_op", X, dim=0, descending=True, constant=None,
         to=lambda x: x.argsort(0, descending=True).float()),
    case("max_op", X, dim=1, to=lambda x: x.amax(1), make=lambda x: ops.max_op(x, dim=1)),
    case("max_op", X, Y, to=torch.maximum),
    case("min_op", X, to=lambda x: x.amin(0, keepdim=True),
         make=lambda x: ops.min_op(x, keepdim=True)),
    case("min_op", X, Y, to=torch.minimum),
    case("topk_idx_op", X, topk=2, constant=None, to=lambda x: x.topk(2).indices.float()),
    case("topk_idx_op", TIES, topk=3, constant=None,
         to=lambda x: torch.tensor([[2.0, 1, 0], [3, 2, 1]])),
    case("topk_val_op", X, i([2, 0], [1, 1], [3, 2]).astype(np.float32), constant=(1,),
         to=lambda x, k: x.gather(1, k.long())),
    case("cumsum_with_bias_op", X, to=lambda x: x.cumsum(0) - 1),
]  # fmt: skip
