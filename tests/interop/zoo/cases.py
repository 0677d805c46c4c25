"""Which architectures are tested in which exporter's form, and their exported models."""

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.interop.zoo.account import Account
from tests.interop.zoo.architecture import Architecture, Inputs, prepare, tensors
from tests.interop.zoo.exporters import export

QUICK = {
    "convolutional": {
        "script": "bicubic pools detection_head cnn",
        "script-kept": "siamese other_ranks unet",
        "dynamo": "unet spatial_transformer",
        "dynamo-kept": "cnn separable",
    },
    "sequential": {
        "script": "rnn stateful cells causal windows experts",
        "script-kept": "wide_and_deep decoder",
        "dynamo": "lstm gru transformer",
    },
    "arithmetic": {
        "script": "spectrogram activations indexing formulas steps",
        "dynamo": "branches messages magnitude reparametrized",
    },
    "pretrained": {
        "script": "bert swin wav2vec deberta segformer",
        "script-kept": "resnet t5",
        "dynamo": "llama vit clip whisper",
    },
}
"""What runs always: every architecture that has something of its own, in one form or two."""

SLOW = {
    "convolutional": {
        "script": "unet separable",
        "script-kept": "cnn separable bicubic",
        "dynamo": "bicubic pools siamese other_ranks separable detection_head cnn",
        "dynamo-kept": "unet siamese",
    },
    "sequential": {
        "script": "lstm gru decoder",
        "script-kept": "lstm",
        "dynamo": "stateful cells causal windows experts decoder",
        "dynamo-kept": "wide_and_deep decoder",
    },
    "arithmetic": {
        "script-kept": "activations formulas",
        "dynamo": "spectrogram activations indexing formulas",
    },
    "pretrained": {
        "script": "vit t5 clip albert distilbert roberta electra modernbert t5_encoder"
        " marian hubert wavlm beit convnext deit dinov2",
        "script-kept": "efficientnet regnet bert",
        "dynamo": "bert gpt2 gemma mistral qwen phi opt bloom gptj bart wav2vec segformer convnext"
        " detr",
        "dynamo-kept": "resnet gpt2",
    },
}
"""The other forms, and architectures made of what others have."""


@dataclass(frozen=True)
class Case:
    """An architecture in one of the exporters' forms."""

    family: str
    name: str
    exporter: str

    def __str__(self) -> str:
        return f"{self.name}-{self.exporter}"

    def build(self) -> Architecture:
        """The architecture; the same numbers every time."""
        torch.manual_seed(0)
        module = import_module(f"tests.interop.zoo.{self.family}")
        made = module.ARCHITECTURES[self.name]()
        return Architecture(prepare(made.module), made.inputs, made.others, made.dynamic)


class Exported:
    """A case with its file."""

    def __init__(self, case: Case, path: Path) -> None:
        self.case, self.path = case, path
        export(case.build(), case.exporter, path)
        self.architecture = case.build()
        self.proto = onnx.load(path)

    @property
    def module(self) -> nn.Module:
        """The module, in inference."""
        return self.architecture.module

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The float initializers."""
        tensors = self.proto.graph.initializer
        floats = [t for t in tensors if t.data_type == onnx.TensorProto.FLOAT]
        return {t.name: onnx.numpy_helper.to_array(t) for t in floats}

    @cached_property
    def account(self) -> Account:
        """Where the module's parameters are in the file."""
        return Account(self.module, self.arrays)

    def feeds(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """What is fed to the file; exporters drop inputs that nothing uses."""
        names = {info.name for info in self.proto.graph.input}
        return {name: x.numpy() for name, x in inputs.items() if name in names}


def expected(module: nn.Module, inputs: Inputs) -> list[torch.Tensor]:
    """What the module makes of its inputs."""
    return tensors(module(*inputs.values()))


def parameters() -> list[object]:
    """The cases for pytest; all tests of one run in one process, which exports it once."""
    marks = [(QUICK, []), (SLOW, [pytest.mark.slow])]
    cases = [
        (Case(family, name, exporter), extra)
        for table, extra in marks
        for family, forms in table.items()
        for exporter, names in forms.items()
        for name in names.split()
    ]
    return [
        pytest.param(case, id=str(case), marks=[pytest.mark.xdist_group(str(case)), *extra])
        for case, extra in cases
    ]
