"""Activation functions."""

import torch

from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op("Relu", since=6)
def relu(x: Tensor) -> Tensor:
    return torch.relu(x)
