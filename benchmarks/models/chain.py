"""Chains of cheap operators over 16 numbers: what is measured is the cost of a node."""

from functools import partial
from itertools import cycle, islice
from pathlib import Path

import torch
from onnx import numpy_helper
from torch import Tensor, nn

from benchmarks.models import sequence

WIDTH = 16
FUNCTIONS = {"Add": torch.add, "Relu": torch.relu, "Mul": torch.mul, "Neg": torch.neg}
STEPS: list[sequence.Step] = [("Add", "offset"), ("Relu",), ("Mul", "scale"), ("Neg",)]


class Chain(nn.Module):
    """The operators in turn, over and over."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.rand(WIDTH))
        self.scale = nn.Parameter(torch.full((WIDTH,), 0.9))
        self.steps = list(islice(cycle(STEPS), nodes))
        weights = dict(self.named_parameters())
        self.calls = [
            (FUNCTIONS[operator], tuple(weights[name] for name in names))
            for operator, *names in self.steps
        ]

    def forward(self, x: Tensor) -> Tensor:
        for function, operands in self.calls:
            x = function(x, *operands)
        return x


chain_1000, chain_10000, chain_100000 = (partial(Chain, n) for n in (1_000, 10_000, 100_000))


def write(module: Chain, path: Path) -> None:
    """The same operators as a file."""
    weights = [
        numpy_helper.from_array(tensor.detach().numpy(), name)
        for name, tensor in module.named_parameters()
    ]
    sequence.save(module.steps, weights, WIDTH, path)
