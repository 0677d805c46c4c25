"""Files of models that are one operator after the other."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

OPSET, IR_VERSION = 20, 10

Step = tuple[str, *tuple[str, ...]]
"""An operator, and the weights that it takes after the value before it."""


def save(steps: Sequence[Step], weights: Sequence[TensorProto], width: int, path: Path) -> None:
    """Write the model; it takes and gives rows of `width` numbers."""
    values = ["x", *(f"v{i}" for i in range(1, len(steps) + 1))]
    nodes = [
        helper.make_node(operator, [x, *operands], [y])
        for (operator, *operands), x, y in zip(steps, values, values[1:], strict=False)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name in (values[0], values[-1])
    ]
    graph = helper.make_graph(nodes, "sequence", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), path)
