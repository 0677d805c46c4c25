"""The module behind `torch.compile`, with its default settings."""

import torch
from torch import nn

from benchmarks.engines import torch as eager


class Engine(eager.Engine):
    def prepare(self, module: nn.Module) -> nn.Module:
        torch.compiler.reset()
        return torch.compile(module)
