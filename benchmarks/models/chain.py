"""Chains of cheap operators over 16 numbers: what is measured is the cost of a node."""

from functools import partial
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

WIDTH = 16
FUNCTIONS = {"Add": torch.add, "Relu": torch.relu, "Mul": torch.mul, "Neg": torch.neg}
OPERANDS = {"Add": "offset", "Mul": "scale"}


class Chain(nn.Module):
    """The operators in turn, over and over."""

    def __init__(self, nodes: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.rand(WIDTH))
        self.scale = nn.Parameter(torch.full((WIDTH,), 0.9))
        self.names = (list(FUNCTIONS) * (nodes // len(FUNCTIONS) + 1))[:nodes]
        self.steps = [
            (FUNCTIONS[name], (getattr(self, OPERANDS[name]),) if name in OPERANDS else ())
            for name in self.names
        ]

    def forward(self, x: Tensor) -> Tensor:
        for function, operands in self.steps:
            x = function(x, *operands)
        return x


chain_1000, chain_10000, chain_100000 = (partial(Chain, n) for n in (1_000, 10_000, 100_000))


def write(module: Chain, path: Path) -> None:
    """The same operators as a file."""
    values = [f"v{i}" for i in range(len(module.names) + 1)]
    nodes = [
        helper.make_node(name, [x, OPERANDS[name]] if name in OPERANDS else [x], [y])
        for name, x, y in zip(module.names, values, values[1:], strict=False)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in (values[0], values[-1])
    ]
    weights = [
        numpy_helper.from_array(tensor.detach().numpy(), name)
        for name, tensor in module.named_parameters()
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
