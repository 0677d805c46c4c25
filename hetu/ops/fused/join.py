"""Weights that are needed side by side."""

import numpy as np
import torch

from hetu import pages
from hetu.convert import to_numpy
from hetu.ops.kinds import Tensor
from hetu.ops.registry import FUSED, op


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
