"""Indices as ONNX counts them."""

import torch

from hetu.ops.kinds import Tensor


def from_start(indices: Tensor, size: int | Tensor) -> Tensor:
    """The indices as int64, negative ones, which count from the end of an axis, from its start."""
    indices = indices.long()
    return torch.where(indices < 0, indices + size, indices)
