"""Protobuf to graph: names become references, everything else is kept as it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx

from hetu.api.value import Value
from hetu.errors import ModelError, show
from hetu.ir import (
    Attribute,
    Function,
    Graph,
    Model,
    Node,
    SparseTensor,
    Tensor,
    add_outputs,
)
from hetu.onnx.derivative import derivative
from hetu.onnx.order import sorted_nodes
from hetu.onnx.proto import (
    TensorReader,
    copies,
    read_attribute,
    read_metadata,
    read_sparse,
    read_tensor,
    read_type,
)
from hetu.onnx.roles import Role
from hetu.ops.registry import find
from hetu.types import short_domain

FunctionKey = tuple[str, str, str]
Scope = dict[str, Value]
Infos = Mapping[str, onnx.ValueInfoProto]


class GraphReader:
    """Reads the graphs of one model, or of one function of it.

    `opsets` is what the model or function imports, `functions` the functions that nodes may call,
    `roles` what each initializer is used for; those it leaves out are constants.
    """

    def __init__(
        self,
        model: Model | None,
        opsets: Mapping[str, int],
        functions: Mapping[FunctionKey, Function],
        roles: Mapping[str, Role],
        external: TensorReader,
        body_of: Callable[[onnx.NodeProto, int], Function | None],
    ) -> None:
        self._model = model
        self._opsets = opsets
        self._functions = functions
        self._roles = roles
        self._external = external
        self._body_of = body_of

    def graph(self, proto: onnx.GraphProto, outer: Sequence[Scope] = ()) -> Graph:
        """A graph; `outer` holds the names of the graphs around it, innermost last."""
        described = {info.name: info for info in (*proto.value_info, *proto.output)}
        scope: Scope = {}
        initializers = [self._initializer(tensor, scope, described) for tensor in proto.initializer]
        initializers += [
            self._sparse(tensor, scope, described) for tensor in proto.sparse_initializer
        ]
        inputs = [self._input(info, scope) for info in proto.input]
        initializers = [scope[value.name] for value in initializers]
        scopes = [*outer, scope]
        nodes = self.nodes(proto.node, scopes, described)
        outputs = [self._output(info, scopes) for info in proto.output]
        return Graph(
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            nodes=nodes,
            initializers=tuple(initializers),
            name=proto.name,
            value_info=tuple(self._described(info, scope) for info in proto.value_info),
            described={
                value: _description(info)
                for value, info in zip(outputs, proto.output, strict=True)
                if value is not None and (value.node is None or value.name not in scope)
            },
            doc=proto.doc_string,
            metadata=read_metadata(proto.metadata_props),
            carried=copies(proto.quantization_annotation),
        )

    def nodes(
        self,
        protos: Iterable[onnx.NodeProto],
        scopes: Sequence[Scope],
        described: Infos,
    ) -> tuple[Node, ...]:
        """Nodes in topological order; their outputs join the innermost scope."""
        ordered = sorted_nodes(list(protos), scopes)
        return tuple(self._node(proto, scopes, described) for proto in ordered)

    def _node(
        self,
        proto: onnx.NodeProto,
        scopes: Sequence[Scope],
        described: Infos,
    ) -> Node:
        version = self._version(proto)
        node = Node(
            proto.op_type,
            tuple([find_value(name, scopes) if name else None for name in proto.input[:]]),
            {a.name: self._attribute(a, scopes) for a in proto.attribute},
            domain=proto.domain,
            version=version,
            overload=proto.overload,
            name=proto.name,
            doc=proto.doc_string,
            metadata=read_metadata(proto.metadata_props),
            function=self._function(proto, version, scopes),
            carried=copies(proto.device_configurations),
        )
        outputs = [
            self._define(name, scopes[-1], described.get(name), node=node, index=index)
            if name
            else None
            for index, name in enumerate(proto.output[:])
        ]
        return add_outputs(node, outputs)

    def _version(self, proto: onnx.NodeProto) -> int:
        version = self._opsets.get(short_domain(proto.domain))
        if version is None:
            raise ModelError(
                f"{proto.op_type} {show(proto.name)}: the model has no opset_import "
                f"for its domain {show(proto.domain)}"
            )
        return version

    def _function(
        self, proto: onnx.NodeProto, version: int, scopes: Sequence[Scope]
    ) -> Function | None:
        """What a node runs where no kernel does it."""
        domain, op_type = proto.domain, proto.op_type
        local = self._functions.get((domain, op_type, proto.overload))
        if local is None and find(domain, op_type, version) is not None:
            return None
        if local is not None and len(proto.input) > len(local.body.inputs):
            raise ModelError(
                f"{proto.op_type} {show(proto.name)} has {len(proto.input)} inputs, the model's "
                f"function of that name takes {len(local.body.inputs)}"
            )
        return (
            local
            or derivative(proto, lambda name: find_value(name, scopes))
            or self._body_of(proto, version)
        )

    def _attribute(self, proto: onnx.AttributeProto, scopes: Sequence[Scope]) -> Attribute:
        return read_attribute(proto, self._external, lambda graph: self.graph(graph, scopes))

    def _define(
        self, name: str, scope: Scope, info: onnx.ValueInfoProto | None, **fields: Any
    ) -> Value:
        if name in scope:
            raise ModelError(f"the name {show(name)} is given to two values of one graph")
        if info is not None:
            fields |= {"type": read_type(info.type), "doc": info.doc_string}
            fields["metadata"] = read_metadata(info.metadata_props)
        scope[name] = Value(name, model=self._model, **fields)
        return scope[name]

    def _initializer(self, proto: onnx.TensorProto, scope: Scope, described: Infos) -> Value:
        return self._variable(read_tensor(proto, self._external), scope, described)

    def _sparse(self, proto: onnx.SparseTensorProto, scope: Scope, described: Infos) -> Value:
        return self._variable(read_sparse(proto, self._external), scope, described)

    def _variable(self, data: Tensor | SparseTensor, scope: Scope, described: Infos) -> Value:
        info = described.get(data.name)
        role = self._roles.get(data.name, Role.CONSTANT)  # those in functions have none
        trainable, constant = role is Role.WEIGHT, role is Role.CONSTANT
        return self._define(
            data.name,
            scope,
            None,
            type=data.type,
            data=data,
            trainable=trainable,
            constant=constant,
            doc="" if info is None else info.doc_string,
            metadata={} if info is None else read_metadata(info.metadata_props),
        )

    def _input(self, info: onnx.ValueInfoProto, scope: Scope) -> Value:
        """An input; one that bears an initializer's name is that initializer."""
        initial = scope.pop(info.name, None)
        value = self._define(info.name, scope, info)
        if initial is not None and initial.data is None:
            raise ModelError(f"two inputs are called {show(info.name)}")
        if initial is None:
            return value
        scope[info.name] = replace(
            value, data=initial.data, trainable=initial.trainable, constant=initial.constant
        )
        return scope[info.name]

    def _output(self, info: onnx.ValueInfoProto, scopes: Sequence[Scope]) -> Value | None:
        return find_value(info.name, scopes) if info.name else None

    def _described(self, info: onnx.ValueInfoProto, scope: Scope) -> Value:
        """The value that a file describes, or one that only keeps what the file says of a name."""
        if info.name in scope:
            return scope[info.name]
        return _description(info)


def _description(info: onnx.ValueInfoProto) -> Value:
    """What a file says of a name."""
    metadata = read_metadata(info.metadata_props)
    return Value(info.name, read_type(info.type), doc=info.doc_string, metadata=metadata)


def find_value(name: str, scopes: Sequence[Scope]) -> Value:
    """The value a name stands for, looked up from the innermost scope outwards."""
    for scope in reversed(scopes):
        if name in scope:
            return scope[name]
    raise ModelError(f"nothing produces the value {show(name)}")
