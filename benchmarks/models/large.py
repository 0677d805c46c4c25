"""A model of 3 GiB: linear layers whose weights are in a file beside the model."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper
from torch import nn

LAYERS, WIDTH = 48, 4096


def large() -> nn.Module:
    layers = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS))
    return nn.Sequential(*layers)


def write(module: nn.Sequential, path: Path) -> None:
    """The weights transposed, as MatMul takes them; one at a time, to spare memory."""
    weights = []
    with open(path.with_name("weights.bin"), "wb") as file:
        for i, layer in enumerate(module):
            weights.append(_external(f"w{i}", file.tell()))
            file.write(layer.weight.detach().T.contiguous().numpy().data)
    values = [f"v{i}" for i in range(LAYERS + 1)]
    nodes = [
        helper.make_node("MatMul", [values[i], f"w{i}"], [values[i + 1]]) for i in range(LAYERS)
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", WIDTH])
        for name in (values[0], values[-1])
    ]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def _external(name: str, offset: int) -> TensorProto:
    tensor = TensorProto(name=name, dims=[WIDTH, WIDTH], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    facts = {"location": "weights.bin", "offset": offset, "length": 4 * WIDTH * WIDTH}
    for key, fact in facts.items():
        tensor.external_data.add(key=key, value=str(fact))
    return tensor
