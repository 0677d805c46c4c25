"""Shapes, views and layout."""

import torch

from hetu.ops.kinds import HostTensor, Ints, Tensor
from hetu.ops.registry import op


@op("Shape", since=15)
def shape(data: Tensor, *, start: int = 0, end: int | None = None) -> HostTensor:
    return torch.tensor(data.shape[start:end], dtype=torch.int64)


@op("Unsqueeze", since=13)
def unsqueeze(data: Tensor, axes: Ints) -> Tensor:
    rank = data.ndim + len(axes)
    for axis in sorted(a % rank for a in axes):
        data = data.unsqueeze(axis)
    return data


@op("Unsqueeze")
def unsqueeze_1(data: Tensor, *, axes: Ints) -> Tensor:
    return unsqueeze(data, axes)
