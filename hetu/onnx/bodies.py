"""Function bodies: the model's, hetu's own, and those in schemas of operators without a kernel."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import onnx

from hetu.errors import ModelError, UnsupportedError, show
from hetu.ir import Attribute, Function, Graph, nested_graphs
from hetu.onnx.importer import FunctionKey, GraphReader
from hetu.onnx.nested import nested_nodes
from hetu.onnx.proto import NoTensorReader, TensorReader, read_attribute, read_default
from hetu.ops.registry import find
from hetu.types import short_domain

BodyOf = Callable[[onnx.NodeProto, int], Function | None]


def read_functions(
    model: onnx.ModelProto, external: TensorReader, schemas: "SchemaBodies"
) -> dict[FunctionKey, Function]:
    """The model's functions, in its order, without those that stand for hetu's own operators.

    Raises `ModelError` where one calls itself.
    """
    protos = {(f.domain, f.name, f.overload): f for f in model.functions if not _is_own(f)}
    functions: dict[FunctionKey, Function] = {}
    started: set[FunctionKey] = set()
    pending = list(reversed(protos))
    while pending:
        key = pending[-1]
        unread = [k for k in _calls(protos[key].node) if k in protos and k not in functions]
        if key in functions:
            pending.pop()
        elif not unread:
            functions[key] = _read(protos[key], functions, external, schemas.find)
        elif key in started:
            raise ModelError(f"function {show('.'.join(key[:2]))} calls itself")
        else:
            started.add(key)
            pending.extend(unread)
    return {key: functions[key] for key in protos}


def hetu_functions(graphs: Iterable[Graph], opsets: Mapping[str, int]) -> list[onnx.FunctionProto]:
    """The functions that stand for the operators of domain `hetu` in some graphs.

    Raises `UnsupportedError` where there is none, or where it needs a newer opset than the model's.
    """
    nodes = [node for outer in graphs for graph in nested_graphs(outer) for node in graph.nodes]
    protos = []
    for op_type in dict.fromkeys(n.op_type for n in nodes if n.domain == "hetu" and not n.function):
        proto = _own(op_type)
        if proto is None:
            raise UnsupportedError(f"{op_type} has no form in ONNX; export values before it")
        oldest = proto.opset_import[0].version
        if opsets[""] < oldest:
            raise UnsupportedError(
                f"{op_type} has a form in opset {oldest} and newer; the graph is of {opsets['']}"
            )
        proto.opset_import[0].version = opsets[""]
        protos.append(proto)
    return protos


def _own(op_type: str) -> onnx.FunctionProto | None:
    """The body of an operator of domain `hetu`, made for the oldest opset that it works in."""
    kernel = find("hetu", op_type, 1)
    return onnx.parser.parse_function(kernel.body) if kernel and kernel.body else None


def _is_own(function: onnx.FunctionProto) -> bool:
    """Whether a function is the one that `hetu_functions` writes: then hetu has a kernel for it."""
    own = _own(function.name) if function.domain == "hetu" else None
    fields = ("input", "output", "attribute", "node")
    return own is not None and all(getattr(own, f) == getattr(function, f) for f in fields)


def _calls(nodes: Iterable[onnx.NodeProto]) -> list[FunctionKey]:
    return [(node.domain, node.op_type, node.overload) for node in nested_nodes(nodes)]


class SchemaBodies:
    """Finds the body that an operator's schema has, for operators that hetu has no kernel for."""

    def __init__(self, model: onnx.ModelProto, external: TensorReader) -> None:
        self._model = model
        self._external = external

    def find(self, node: onnx.NodeProto, version: int) -> Function | None:
        """What a node that no kernel does runs, or None where nothing can."""
        types = self._types if _wants_types(node, version) else {}
        proto = _schema_function(node, version, types, version)
        if proto is None:
            return None
        opsets = {entry.domain: entry.version for entry in self._model.opset_import}
        newest = opsets.get("", onnx.defs.onnx_opset_version())
        return _read_schema_function(node, version, proto, newest, self._external, self.find)

    @cached_property
    def _types(self) -> Mapping[str, onnx.TypeProto]:
        """The types of the main graph's values, as far as onnx can infer them."""
        inferred = onnx.shape_inference.infer_shapes(self._model)
        graph = inferred.graph
        infos = (*graph.value_info, *graph.input, *graph.output)
        types = {info.name: info.type for info in infos}
        for tensor in graph.initializer:
            types[tensor.name] = onnx.helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        return types


def schema_body(
    node: onnx.NodeProto, version: int, types: Mapping[str, onnx.TypeProto], opset: int
) -> Function | None:
    """The body that a node's schema has, in operators of `opset` where there is a choice.

    `types` are those of the node's inputs, by name, as far as they are known.
    """
    proto = _schema_function(node, version, types, opset)
    if proto is None:
        return None
    return _read_schema_function(node, version, proto, opset, NoTensorReader(), lambda *_: None)


def _read_schema_function(
    node: onnx.NodeProto,
    version: int,
    proto: onnx.FunctionProto,
    opset: int,
    external: TensorReader,
    body_of: BodyOf,
) -> Function:
    """A schema's function; some leave the opset of ai.onnx to the model: `opset` it is there."""
    if all(entry.domain for entry in proto.opset_import):
        proto.opset_import.append(onnx.helper.make_opsetid("", opset))
    function = _read(proto, {}, external, body_of, local=False)
    return replace(function, defaults=_defaults(node, version))


def _schema_function(
    node: onnx.NodeProto, version: int, types: Mapping[str, onnx.TypeProto], opset: int
) -> onnx.FunctionProto | None:
    schema = _schema(node, version)
    if schema is None:
        return None
    if schema.has_function:
        body_version = _closest(schema.function_opset_versions, opset)
        return onnx.FunctionProto.FromString(schema.get_function_with_opset_version(body_version))
    if not schema.has_context_dependent_function:
        return None
    given = [types.get(name, onnx.TypeProto()).SerializeToString() for name in node.input]
    body_version = _closest(schema.context_dependent_function_opset_versions, opset)
    data = schema.get_context_dependent_function_with_opset_version(
        body_version, node.SerializeToString(), given
    )
    proto = onnx.FunctionProto.FromString(data)
    return proto if proto.node else None  # none for this node and these types


def _schema(node: onnx.NodeProto, version: int) -> Any:
    try:
        return onnx.defs.get_schema(node.op_type, version, node.domain)
    except onnx.defs.SchemaError:
        return None


def _wants_types(node: onnx.NodeProto, version: int) -> bool:
    """Whether the body that a node's schema has depends on the types of its inputs."""
    schema = _schema(node, version)
    return bool(schema and schema.has_context_dependent_function and not schema.has_function)


def _defaults(node: onnx.NodeProto, version: int) -> dict[str, Attribute]:
    """The attributes that the schema gives where a node does not."""
    defaults = {name: a.default_value for name, a in _schema(node, version).attributes.items()}
    return {name: read_default(default) for name, default in defaults.items() if default.type}


def _closest(versions: Sequence[int], version: int) -> int:
    """The newest of the opsets a body is written in that is not newer, else the oldest."""
    return max((v for v in versions if v <= version), default=min(versions))


def _read(
    proto: onnx.FunctionProto,
    functions: Mapping[FunctionKey, Function],
    external: TensorReader,
    body_of: BodyOf,
    local: bool = True,
) -> Function:
    """A function with its body as a graph, whose inputs and outputs have no types.

    The body that a schema gives for one node makes only the outputs that this node uses.
    """
    opsets = {short_domain(e.domain): e.version for e in proto.opset_import}
    made = {*proto.input, *(name for node in proto.node for name in node.output)}
    outputs = proto.output if local else [name if name in made else "" for name in proto.output]
    body = onnx.GraphProto(
        name=proto.name,
        doc_string=proto.doc_string,
        input=[onnx.ValueInfoProto(name=name) for name in proto.input],
        output=[onnx.ValueInfoProto(name=name) for name in outputs],
        node=proto.node,
        value_info=proto.value_info,
        metadata_props=proto.metadata_props,
    )
    reader = GraphReader(None, opsets, functions, {}, external, body_of)
    return Function(
        proto.domain,
        proto.name,
        reader.graph(body),
        proto.overload,
        tuple(proto.attribute),
        {a.name: read_attribute(a, external, reader.graph) for a in proto.attribute_proto},
        opsets,
        local,
    )
