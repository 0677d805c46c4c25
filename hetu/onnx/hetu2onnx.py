"""Export: a graph, built by hand or loaded, as a standard ONNX model."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import onnx

from hetu.convert import to_numpy
from hetu.errors import UsageError, show
from hetu.ir import (
    Graph,
    Model,
    Recipe,
    SparseTensor,
    Tensor,
    Value,
    dependencies,
    graph_between,
    graph_values,
    name_values,
    nested_graphs,
)
from hetu.onnx.bodies import hetu_functions
from hetu.onnx.data_file import ExternalData, HeldData, data_file_name, write_model
from hetu.onnx.exporter import GraphWriter, write_function
from hetu.onnx.function_names import name_functions
from hetu.onnx.inference import without_training
from hetu.onnx.proto import write_metadata
from hetu.onnx.versions import Opset, settle_versions
from hetu.runtime.executor import Executor
from hetu.runtime.module import GraphModule
from hetu.types import Dim, TensorType, ValueType

Shapes = Mapping[Value | str, Sequence[Dim]]

MIN_IR_VERSION = 8
"""The first with functions; what runs the default opset knows it."""


class Store(Protocol):
    """The current values of variables: an executor's or a module's store."""

    def __contains__(self, value: Value) -> bool: ...

    def __getitem__(self, value: Value) -> Any: ...

    def is_changed(self, value: Value) -> bool:
        """Whether the value may differ from the graph's own data."""
        ...


def export(
    executor: Executor | GraphModule,
    inputs: Value | Sequence[Value],
    outputs: Value | Sequence[Value],
    path: str | os.PathLike[str],
    *,
    opset: Opset = None,
    input_shapes: Shapes | None = None,
    metadata: Mapping[str, str] | None = None,
    external_data: ExternalData = None,
) -> onnx.ModelProto:
    """Write what computes `outputs` from `inputs`, with the executor's current values, to `path`.

    The values may be a module's (`to_module`) too. The model's inputs are `inputs`, in their order.
    `input_shapes` gives dimensions by input or name: sizes, names of symbolic dimensions, or None.
    `metadata` is added to the model's. `opset` is ai.onnx's, or says a version by domain; domains
    that it does not name, ai.onnx.ml too, stay at the file's version.

    Large tensors go into one file beside the model where `external_data` asks for it: True or the
    file's name, False, or None for what came from such a file and for weights of more than 256 MiB.
    That file always has a new name, the given one if it is free; both files change in one commit,
    and the data file of the model that was at `path` is removed last (see `write_model`).

    Also returns the model, which then refers to the data file. Raises `UsageError` where an input
    is missing or the path is bad, `UnsupportedError` where something has no form in ONNX,
    `LimitError` where protobuf cannot hold the model and `StorageError` where the disk is full;
    nothing has changed then.
    """
    return write_file(
        executor.store, inputs, outputs, path, opset, input_shapes, metadata, external_data
    )


def write_file(
    store: Store,
    inputs: Value | Sequence[Value],
    outputs: Value | Sequence[Value],
    path: str | os.PathLike[str],
    opset: Opset = None,
    input_shapes: Shapes | None = None,
    metadata: Mapping[str, str] | None = None,
    external_data: ExternalData = None,
    infers: bool = False,
) -> onnx.ModelProto:
    """What `export` does, with the values of a store; the model only `infers` if that is wanted."""
    path = Path(path)
    data_name = data_file_name(path, external_data)
    graph = _collect(as_list(inputs), as_list(outputs))
    held = HeldData(external_data)
    model = _to_proto(store, graph, input_shapes or {}, metadata or {}, opset, held)
    if infers:
        without_training(model)
    data = held.settle(model, data_name)
    write_model(path, model, data, external_data)
    return model


def make_proto(
    store: Store,
    inputs: Value | Sequence[Value],
    outputs: Value | Sequence[Value],
    opset: Opset = None,
    input_shapes: Shapes | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The model that `export` writes, with the values of a store."""
    graph = _collect(as_list(inputs), as_list(outputs))
    held = HeldData(False)
    model = _to_proto(store, graph, input_shapes or {}, metadata or {}, opset, held)
    held.settle(model)
    return model


def as_list(values: Value | Sequence[Value]) -> list[Value]:
    """One value or several, as a list. Raises `UsageError` for anything else."""
    values = [values] if isinstance(values, Value) else list(values)
    for value in values:
        if not isinstance(value, Value):
            raise UsageError(f"inputs and outputs are values of the graph, not {show(value)}")
    return values


def _collect(inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """The graph between inputs and outputs, with what the file had beside it."""
    graph = graph_between(inputs, outputs)
    if len(set(outputs)) < len(outputs):
        raise UsageError("an output is given twice; ONNX wants their names to differ")
    inner = {v for g in nested_graphs(graph) if g is not graph for v in g.initializers}
    initializers = tuple(value for value in graph.initializers if value not in inner)
    graph = replace(graph, initializers=initializers)
    sources = _sources(graph)
    return (
        _with_rest_of_file(graph, sources[0].graph)
        if len(sources) == 1 and sources[0].graph
        else graph
    )


def _sources(graph: Graph) -> list[Model]:
    """The models that parts of a graph were loaded from."""
    values = [*graph.inputs, *graph.initializers]
    values += [value for node in graph.nodes for value in node.outputs if value is not None]
    return list(dict.fromkeys(value.model for value in values if value.model is not None))


def _with_rest_of_file(graph: Graph, file: Graph) -> Graph:
    """The graph in the file's form, where it contains all that the file's outputs need.

    Nodes and initializers that no output needs are kept, and so are inputs that have a default.
    """
    if not set(file.outputs) <= set(graph.outputs):
        return _part_of_file(graph, file)
    feeds = [value for value in file.inputs if value.data is None]
    given, nodes = set(graph.inputs), set(graph.nodes)
    for node in file.nodes:
        if all(v.data is not None or v in given or v.node in nodes for v in dependencies(node)):
            nodes.add(node)
    defaults = tuple(value for value in file.inputs if value.data is not None)
    inputs = file.inputs if list(graph.inputs) == feeds else (*graph.inputs, *defaults)
    initializers = tuple(dict.fromkeys((*graph.initializers, *file.initializers)))
    return replace(
        file,
        inputs=inputs,
        outputs=graph.outputs,
        nodes=tuple(sorted(nodes, key=lambda node: node.serial)),
        initializers=_in_file_order(initializers, file),
    )


def _part_of_file(graph: Graph, file: Graph) -> Graph:
    """The graph with what the file says of it, and of the values that it still has."""
    held = set(graph_values(graph))
    names = {value.name for value in held}
    return replace(
        file,
        inputs=graph.inputs,
        outputs=graph.outputs,
        nodes=graph.nodes,
        initializers=_in_file_order(graph.initializers, file),
        value_info=tuple(value for value in file.value_info if value in held),
        carried=tuple(a for a in file.carried or () if a.tensor_name in names),
    )


def _in_file_order(initializers: Sequence[Value], file: Graph) -> tuple[Value, ...]:
    present = dict.fromkeys(initializers)
    known = dict.fromkeys(value for value in file.initializers if value in present)
    return tuple(known | present)


def _to_proto(
    store: Store,
    graph: Graph,
    input_shapes: Shapes,
    metadata: Mapping[str, str],
    opset: Opset,
    held: HeldData,
) -> onnx.ModelProto:
    """The model without the data that `held` keeps back."""
    sources = _sources(graph)
    types = _input_types(graph.inputs, input_shapes)
    facts = sources[0] if sources else Model({}, MIN_IR_VERSION, producer_name="hetu")

    def data_of(value: Value) -> Tensor | SparseTensor:
        return _current(store, value)

    called = name_functions(sources, lambda f: write_function(f, data_of, HeldData(False)))
    settled = settle_versions(graph, list(called), sources, opset, types)
    opsets, graph, functions = settled.opsets, settled.graph, list(settled.functions.values())
    called |= {new: called[old] for old, new in settled.functions.items()}
    proto = onnx.ModelProto()
    others = {key: text for model in reversed(sources) for key, text in model.metadata.items()}
    _write_facts(proto, facts, {**facts.metadata, **others, **metadata})
    proto.opset_import.extend(onnx.helper.make_opsetid(d, v) for d, v in opsets.items())
    writer = GraphWriter(name_values(graph), data_of, held, functions=called)
    proto.graph.CopyFrom(writer.graph(graph, types))
    proto.graph.name = proto.graph.name or "hetu"
    distinct = {(f.domain, called[f], f.overload): f for f in functions}
    written = (write_function(f, data_of, held, called) for f in distinct.values())
    proto.functions.extend(written)
    proto.functions.extend(hetu_functions([graph, *(f.body for f in functions)], opsets))
    proto.ir_version = _ir_version(facts, proto)
    return _with_output_types(proto)


def _ir_version(facts: Model, proto: onnx.ModelProto) -> int:
    """The file's own version, or a newer one where what was added to it asks for that."""
    needed = onnx.helper.find_min_ir_version_for(list(proto.opset_import), ignore_unknown=True)
    is_raised = {e.domain: e.version for e in proto.opset_import} != dict(facts.opsets)
    return max(facts.ir_version, needed, MIN_IR_VERSION) if is_raised else facts.ir_version


def _write_facts(proto: onnx.ModelProto, facts: Model, metadata: Mapping[str, str]) -> None:
    texts = {
        "producer_name": facts.producer_name,
        "producer_version": facts.producer_version,
        "domain": facts.domain,
        "doc_string": facts.doc,
        "model_version": facts.model_version,
    }
    for field, content in texts.items():
        if content:
            setattr(proto, field, content)
    write_metadata(metadata, proto.metadata_props)
    for field, messages in (facts.carried or {}).items():
        getattr(proto, field).extend(messages)


def _current(store: Store, value: Value) -> Tensor | SparseTensor:
    """A variable's data: the file's own, unless the store has another one."""
    in_store = value in store
    if isinstance(value.data, Tensor | SparseTensor) and not (in_store and store.is_changed(value)):
        return value.data
    if not in_store:
        raise UsageError(f"{show(value.name)} has no value yet: the executor does not run it")
    array = to_numpy(store[value])
    if isinstance(value.data, Recipe) or not isinstance(value.data, Tensor):
        return Tensor(array)
    return value.data.with_array(array)


def _input_types(inputs: Sequence[Value], shapes: Shapes) -> dict[Value, ValueType]:
    by_name = {value.name: value for value in inputs}
    types: dict[Value, ValueType] = {}
    for key, shape in shapes.items():
        value = by_name.get(key) if isinstance(key, str) else key
        if value not in inputs or value is None:
            raise UsageError(
                f"input_shapes: {show(getattr(key, 'name', key))} is not among the inputs"
            )
        types[value] = TensorType(value.dtype, tuple(shape))
    return types


def _with_output_types(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The types of outputs that the graph does not know itself, as onnx infers them."""
    unknown = [o for o in proto.graph.output if not o.type.tensor_type.HasField("shape")
               and o.type.WhichOneof("value") in (None, "tensor_type")]  # fmt: skip
    if not unknown:
        return proto
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph.output
    known = {dim.dim_param for info in proto.graph.input for dim in info.type.tensor_type.shape.dim}
    for output, typed in zip(proto.graph.output, inferred, strict=True):
        if output in unknown:
            output.type.CopyFrom(typed.type)
            for dim in output.type.tensor_type.shape.dim:
                if dim.dim_param not in known:  # a name that the inference made up
                    dim.ClearField("dim_param")
    return proto
