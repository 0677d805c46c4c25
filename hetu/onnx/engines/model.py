"""The file that an engine loads, and the engine's library."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from hetu.convert import is_extension
from hetu.errors import UnsupportedError, UsageError, show
from hetu.ir import Value
from hetu.onnx.hetu2onnx import Store, write_file
from hetu.types import dtype


class ModelFile:
    """A model in a temporary folder, which stays as long as this: engines map large weights."""

    def __init__(
        self, backend: str, store: Store, inputs: Sequence[Value], outputs: Sequence[Value]
    ) -> None:
        self._folder = TemporaryDirectory(ignore_cleanup_errors=True)
        self.path = str(Path(self._folder.name) / "model.onnx")
        distinct = list(dict.fromkeys(outputs))
        model = write_file(store, inputs, distinct, self.path, infers=True)
        graph = model.graph
        defaults = {data.name for data in graph.initializer}
        defaults |= {data.values.name for data in graph.sparse_initializer}
        given = [value for value in graph.input if value.name not in defaults]
        for value in (*given, *graph.output):
            _check_is_exchanged(backend, value)
        self.inputs = [value.name for value in given]
        self.positions = [distinct.index(value) for value in outputs]
        self.outputs = [model.graph.output[position].name for position in self.positions]


def _check_is_exchanged(backend: str, value: onnx.ValueInfoProto) -> None:
    """Engines and Python hand each other arrays of types that numpy knows."""
    code = value.type.tensor_type.elem_type
    if code and is_extension(dtype(code)):
        raise UnsupportedError(
            f"{show(value.name)}: {backend} takes and gives no {dtype(code)} in Python; cast it in "
            f"the graph, or leave out backend={backend!r}"
        )


def load_library(name: str) -> Any:
    """An optional library. Raises `UsageError` where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"backend={name!r} needs {name}, which is not installed: `pip install {name}`"
        ) from error
