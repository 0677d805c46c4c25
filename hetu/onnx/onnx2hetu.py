"""Import: an ONNX model becomes a graph that runs, trains and can be exported again."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import IO, Any

import onnx
from google.protobuf.message import DecodeError

from hetu import collector
from hetu.api.value import Value
from hetu.errors import ModelError, UnsupportedError, UsageError, show
from hetu.ir import Model
from hetu.onnx.array_reader import ArrayReader
from hetu.onnx.bodies import SchemaBodies, read_functions
from hetu.onnx.external import ExternalReader, tensors_in
from hetu.onnx.importer import GraphReader
from hetu.onnx.in_file import InFile, without_large_data
from hetu.onnx.proto import (
    TensorReader,
    check_texts,
    copies,
    read_metadata,
    read_tensor,
    write_tensor,
)
from hetu.onnx.roles import Trainable, find_roles
from hetu.passes.missing import check_operators
from hetu.progress import Progress
from hetu.types import short_domain

ModelSource = str | os.PathLike[str] | bytes | onnx.ModelProto | IO[bytes]


class LoadedModel:
    """A loaded model; unpacks as `inputs, outputs`, each a bare value where there is exactly one.

    `inputs`, `outputs` and `variables` are dicts by ONNX name, in the file's order; `model["name"]`
    is any value of the main graph. `ir` is the model as `hetu.ir` has it.
    """

    def __init__(self, model: Model) -> None:
        assert model.graph is not None
        graph = model.graph
        self.ir = model
        self.inputs: dict[str, Value] = _by_name(v for v in graph.inputs if v.data is None)
        self.outputs: dict[str, Value] = _by_name(graph.outputs)
        self.variables: dict[str, Value] = _by_name(graph.initializers)

    @cached_property
    def _values(self) -> Mapping[str, Value]:
        assert self.ir.graph is not None
        made = (v for node in self.ir.graph.nodes for v in node.outputs if v is not None)
        return {**self.inputs, **self.variables, **_by_name(made)}

    @property
    def opsets(self) -> Mapping[str, int]:
        """Operator set versions by domain."""
        return self.ir.opsets

    @property
    def metadata(self) -> Mapping[str, str]:
        """The model's `metadata_props`."""
        return self.ir.metadata

    def __iter__(self) -> Any:
        return iter((_bare(self.inputs), _bare(self.outputs)))

    def __getitem__(self, name: str) -> Value:
        if name not in self._values:
            raise UsageError(f"the model has no value called {show(name)}")
        return self._values[name]


def _by_name(values: Any) -> dict[str, Any]:
    return {value.name: value for value in values}


def _bare(values: dict[str, Value]) -> Value | list[Value]:
    return next(iter(values.values())) if len(values) == 1 else list(values.values())


@collector.paused()
def load_onnx(
    source: ModelSource, *, trainable: Trainable = True, strict: bool = True
) -> LoadedModel:
    """Load a model from a path, bytes, a `ModelProto` or an open binary file.

    `trainable` selects which weights optimizers may change (see `roles.Trainable`). Raises
    `ModelError` for a file that is no valid model, `UnsupportedError`, listing all, where it
    uses operators that hetu does not have, and `ExternalDataError`. Unless `strict`, nodes of such
    operators stay in the graph: all that does not need them runs, and the whole is exported.
    """
    with (
        _opened(source) as (proto, folder, in_file),
        Progress("reading") as progress,
        ArrayReader(progress) as arrays,
    ):
        external = ExternalReader(folder, arrays)
        read = in_file.reader(external, arrays) if in_file else external
        try:
            model = _read(proto, read, trainable)
        except TypeError:
            check_texts(proto)
            raise
    assert model.graph is not None
    if strict:
        check_operators(model.graph, "; load_onnx(..., strict=False) loads a model that lacks some")
    return LoadedModel(model)


def _read(proto: onnx.ModelProto, external: TensorReader, trainable: Trainable) -> Model:
    opsets = _opsets(proto)
    _check_opsets(opsets)
    model = Model(
        opsets,
        proto.ir_version,
        producer_name=proto.producer_name,
        producer_version=proto.producer_version,
        domain=proto.domain,
        model_version=proto.model_version,
        doc=proto.doc_string,
        metadata=read_metadata(proto.metadata_props),
        carried={
            "training_info": _training_info(proto, external),
            "configuration": copies(proto.configuration),
        },
    )
    schemas = SchemaBodies(proto, external)
    functions = read_functions(proto, external, schemas)
    model.functions = tuple(functions.values())
    roles = find_roles(proto, trainable)
    reader = GraphReader(model, opsets, functions, roles, external, schemas.find)
    model.graph = reader.graph(proto.graph)
    if None in model.graph.outputs:
        raise ModelError(f"output {model.graph.outputs.index(None)} of the model has no name")
    return model


@contextmanager
def _opened(source: ModelSource) -> Iterator[tuple[onnx.ModelProto, Path | None, InFile | None]]:
    """A model, the folder of its external data, and what stays in its file until it is read."""
    if not isinstance(source, str | os.PathLike):
        yield *read_proto(source), None
        return
    with _open(source) as file:
        data, in_file = without_large_data(file) or (file.readall(), None)
        yield _parsed(data, show(os.fspath(source))), Path(source).parent, in_file


def read_proto(source: ModelSource) -> tuple[onnx.ModelProto, Path | None]:
    """The model as it is written, and the folder of its external data, where it has one.

    Raises `UsageError` where the file cannot be read and `ModelError` where it is no ONNX model.
    """
    if isinstance(source, onnx.ModelProto):
        return source, None
    if isinstance(source, bytes | bytearray | memoryview):
        return _parsed(bytes(source), "the bytes given"), None
    if not isinstance(source, str | os.PathLike):
        return _parsed(source.read(), "the file given"), None
    with _open(source) as file:
        return _parsed(file.readall(), show(os.fspath(source))), Path(source).parent


def _open(path: str | os.PathLike[str]) -> FileIO:
    try:
        return FileIO(os.fspath(path))
    except OSError as error:
        raise UsageError(f"cannot read {show(os.fspath(path))}: {error.strerror}") from error


def _parsed(data: bytes, what: str) -> onnx.ModelProto:
    try:
        proto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise ModelError(f"{what} is no ONNX model, or is cut off: {error}") from error
    if not proto.HasField("graph") or not proto.ir_version:
        raise ModelError(f"{what} is no ONNX model: it holds no graph or no ir_version")
    return proto


def _training_info(proto: onnx.ModelProto, external: TensorReader) -> tuple[Any, ...]:
    """The training graphs, which are only handed on, with their external data inside."""
    infos = copies(proto.training_info)
    graphs = [graph for info in infos for graph in (info.initialization, info.algorithm)]
    for tensor in tensors_in(graphs):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            content = read_tensor(tensor, external)
            external.settle()
            tensor.CopyFrom(write_tensor(content))
    return infos


def _opsets(proto: onnx.ModelProto) -> dict[str, int]:
    opsets = {short_domain(e.domain): e.version for e in proto.opset_import}
    if not opsets and proto.ir_version < 3:
        return {"": 1}
    if not opsets:
        raise ModelError("the model has no opset_import, so the meaning of its operators is open")
    return opsets


def _check_opsets(opsets: Mapping[str, int]) -> None:
    newest = onnx.defs.onnx_opset_version()
    if opsets.get("", 0) > newest:
        raise UnsupportedError(
            f"the model is of opset {opsets['']}; this hetu knows ai.onnx up to opset {newest}"
        )
