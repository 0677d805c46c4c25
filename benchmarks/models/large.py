"""A model of 3 GiB: linear layers whose weights are in a file beside the model."""

from pathlib import Path

from onnx import TensorProto
from torch import nn

from benchmarks.models import sequence

LAYERS, WIDTH = 48, 4096
DATA = "weights.bin"


def large() -> nn.Module:
    layers = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS))
    return nn.Sequential(*layers)


def write(module: nn.Module, path: Path) -> None:
    """The weights transposed, as MatMul takes them; one at a time, to spare memory."""
    weights = []
    with open(path.with_name(DATA), "wb") as file:
        for number, weight in enumerate(module.parameters()):
            weights.append(_external(f"w{number}", file.tell()))
            file.write(weight.detach().T.contiguous().numpy().data)
    sequence.save([("MatMul", weight.name) for weight in weights], weights, WIDTH, path)


def _external(name: str, offset: int) -> TensorProto:
    tensor = TensorProto(name=name, dims=[WIDTH, WIDTH], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    facts = {"location": DATA, "offset": offset, "length": 4 * WIDTH * WIDTH}
    for key, fact in facts.items():
        tensor.external_data.add(key=key, value=str(fact))
    return tensor
