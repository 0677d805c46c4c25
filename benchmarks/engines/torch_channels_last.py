"""Eager torch with images and filters stored channels last."""

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.engines import torch as eager


class Engine(eager.Engine):
    def prepare(self, module: nn.Module) -> nn.Module:
        return module.to(memory_format=torch.channels_last)

    def tensor(self, array: np.ndarray) -> Tensor:
        made = torch.from_numpy(array)
        return made.to(memory_format=torch.channels_last) if made.ndim == 4 else made
