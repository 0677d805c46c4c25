"""The engines: one file each, with a class `Engine` that loads and runs a model.

A process imports only the engine that it runs, so that no engine's threads disturb another's.
"""

from importlib import import_module
from typing import Protocol

import numpy as np

from benchmarks.files import ModelFile
from benchmarks.workloads import Feeds, Workload

NAMES = {
    "hetu": "hetu",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "torch",
    "torch_channels_last": "torch channels_last",
    "torch_compile": "torch.compile",
    "onnx2torch": "onnx2torch",
}
"""What the engines' files are called here, and how the report calls them."""


class Engine(Protocol):
    """What every engine does, in a process of its own with `threads` threads."""

    def __init__(self, threads: int) -> None: ...

    def load(self, workload: Workload, model: ModelFile) -> None:
        """Make ready to run: from the model's file, or the module it was written from."""
        ...

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        """The results for these feeds, as numpy arrays."""
        ...


class Trainer(Engine, Protocol):
    """An engine that trains."""

    def load_training(self, workload: Workload, model: ModelFile) -> None:
        """Make ready to train, by SGD with momentum."""
        ...

    def step(self, feeds: Feeds, targets: np.ndarray) -> float:
        """Forward, backward and update; the loss."""
        ...


RATE, MOMENTUM = 1e-4, 0.9
"""Of every training."""


def import_engine(name: str) -> type[Engine]:
    """The class of the engine `name`; its library is imported by this."""
    return import_module(f"benchmarks.engines.{name}").Engine
