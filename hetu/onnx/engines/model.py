"""The file that an engine loads, and the engine's library."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hetu.errors import UsageError
from hetu.ir import Value
from hetu.onnx.hetu2onnx import Store, write_file


class ModelFile:
    """A model in a temporary folder, which stays as long as this: engines map large weights."""

    def __init__(self, store: Store, inputs: Sequence[Value], outputs: Sequence[Value]) -> None:
        self._folder = TemporaryDirectory(ignore_cleanup_errors=True)
        self.path = str(Path(self._folder.name) / "model.onnx")
        distinct = list(dict.fromkeys(outputs))
        model = write_file(store, inputs, distinct, self.path, infers=True)
        graph = model.graph
        defaults = {data.name for data in graph.initializer}
        defaults |= {data.values.name for data in graph.sparse_initializer}
        self.inputs = [value.name for value in graph.input if value.name not in defaults]
        self.positions = [distinct.index(value) for value in outputs]
        self.outputs = [model.graph.output[position].name for position in self.positions]


def load_library(name: str) -> Any:
    """An optional library. Raises `UsageError` where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"backend={name!r} needs {name}, which is not installed: `pip install {name}`"
        ) from error
