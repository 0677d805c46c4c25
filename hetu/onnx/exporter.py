"""Graph to protobuf, the way back of `importer`."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import onnx

from hetu.ir import (
    Attribute,
    Function,
    Graph,
    Namer,
    Node,
    SparseTensor,
    Tensor,
    Value,
    graph_values,
    nested_graphs,
)
from hetu.onnx.data_file import Fetch, HeldData
from hetu.onnx.proto import (
    fill,
    write_attribute,
    write_metadata,
    write_sparse,
    write_tensor,
    write_type,
)
from hetu.types import ValueType

DataOf = Callable[[Value], Tensor | SparseTensor]
FunctionNames = Mapping[Function, str]

_NO_NAMES: FunctionNames = {}


class GraphWriter:
    """Writes the graphs of one model or function.

    `data_of` gives a variable's current data; `held` takes what is large, but no initializers of
    functions: onnx does not look for external data there. `functions` says what functions are
    called where that is not their own name.
    """

    def __init__(
        self,
        names: Mapping[Value, str],
        data_of: DataOf,
        held: HeldData,
        in_function: bool = False,
        functions: FunctionNames = _NO_NAMES,
    ) -> None:
        self._names = names
        self._data_of = data_of
        self._held = held
        self._in_function = in_function
        self._functions = functions

    def graph(
        self, graph: Graph, types: Mapping[Value, ValueType] | None = None
    ) -> onnx.GraphProto:
        """A graph; `types` overrides what values say of their own types."""
        proto = fill(onnx.GraphProto(), name=graph.name, doc_string=graph.doc)
        proto.node.extend(map(self.node, graph.nodes))
        for value in graph.initializers:
            self._write_initializer(value, proto)
        proto.input.extend(self._info(value, types) for value in graph.inputs)
        proto.output.extend(
            self._info(value, types, graph.described.get(value))
            for value in graph.outputs
            if value is not None
        )
        proto.value_info.extend(self._info(value, types) for value in graph.value_info)
        proto.quantization_annotation.extend(graph.carried or ())
        write_metadata(graph.metadata, proto.metadata_props)
        return proto

    def node(self, node: Node) -> onnx.NodeProto:
        """A node."""
        proto = onnx.NodeProto(
            op_type=self._functions.get(node.function, node.op_type)
            if node.function
            else node.op_type,
            input=[self._name(value) for value in node.inputs],
            output=[self._name(value) for value in node.outputs],
            attribute=[self.attribute(name, a) for name, a in node.attributes.items()],
        )
        fill(proto, name=node.name, domain=node.domain, overload=node.overload, doc_string=node.doc)
        write_metadata(node.metadata, proto.metadata_props)
        proto.device_configurations.extend(node.carried or ())
        return proto

    def attribute(self, name: str, attribute: Attribute) -> onnx.AttributeProto:
        """An attribute, with the graphs in it."""
        return write_attribute(name, attribute, self.graph, self._tensor)

    def _tensor(self, tensor: Tensor) -> onnx.TensorProto:
        return self._held.tensor(tensor, lambda: tensor)

    def _write_initializer(self, value: Value, proto: onnx.GraphProto) -> None:
        data, name = self._data_of(value), self._name(value)
        if isinstance(data, SparseTensor):
            proto.sparse_initializer.append(write_sparse(data, name))
        elif self._in_function:
            proto.initializer.append(write_tensor(data, name))
        else:
            fetch = cast(Fetch, partial(self._data_of, value))
            tensor = self._held.tensor(data, fetch, name, is_weight=not value.constant)
            proto.initializer.append(tensor)

    def _info(
        self,
        value: Value,
        types: Mapping[Value, ValueType] | None,
        described: Value | None = None,
    ) -> onnx.ValueInfoProto:
        """What is said of a value; `described` is what a file says of it in this place."""
        said = described or value
        info = fill(onnx.ValueInfoProto(name=self._name(value)), doc_string=said.doc)
        value_type = (types or {}).get(value, said.type)
        if value_type is not None:
            info.type.CopyFrom(write_type(value_type))
        write_metadata(said.metadata, info.metadata_props)
        return info

    def _name(self, value: Value | None) -> str:
        return "" if value is None else self._names[value]


def write_function(
    function: Function, data_of: DataOf, held: HeldData, functions: FunctionNames = _NO_NAMES
) -> onnx.FunctionProto:
    """A model-local function."""
    body = function.body
    values = [value for inner in nested_graphs(body) for value in graph_values(inner)]
    namer = Namer(value.name for value in values)
    names = {v: v.name or namer.unique(v.node.op_type if v.node else "") for v in values}
    writer = GraphWriter(names, data_of, held, True, functions)
    graph = writer.graph(body)
    proto = onnx.FunctionProto(
        name=functions.get(function, function.name),
        domain=function.domain,
        input=[info.name for info in graph.input],
        output=[info.name for info in graph.output],
        attribute=function.required,
        attribute_proto=[writer.attribute(name, a) for name, a in function.defaults.items()],
        node=graph.node,
        opset_import=[onnx.helper.make_opsetid(d, v) for d, v in function.opsets.items()],
        value_info=graph.value_info,
        metadata_props=graph.metadata_props,
    )
    return fill(proto, overload=function.overload, doc_string=body.doc)
