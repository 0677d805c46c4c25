"""What onnx's schemas say of operators and of the types of values, for conversions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any

import onnx

from hetu.errors import ModelError
from hetu.ir import Function, Node, SparseTensor, Tensor, Value, dependencies
from hetu.onnx.bodies import schema_body
from hetu.onnx.data_file import HeldData
from hetu.onnx.exporter import GraphWriter
from hetu.onnx.proto import read_default, read_type, write_tensor, write_type
from hetu.passes.inline import expand
from hetu.passes.opset import Formal, Setting, Signature
from hetu.passes.opset.rewrite import constant_data
from hetu.types import (
    DTYPES,
    AttributeKind,
    DType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
    short_domain,
)

_Opset = tuple[str, int]
"""A domain and its version."""

MAX_DATA = 1024
"""Constants of more elements say nothing of shapes."""


class OnnxSchemas:
    """Looks up operators, and infers types, each node at its own version.

    `types` holds what is known beyond what values say of themselves. `results` are a graph's: what
    leads to them is inferred at once when a first type has to be.
    """

    def __init__(
        self, types: Mapping[Value, ValueType], results: Iterable[Value | None] = ()
    ) -> None:
        self._results = [value for value in results if value is not None]
        self._types: dict[Value, ValueType | None] = dict(types)
        self._same: dict[Value, Value] = {}
        self._names: dict[Value, str] = {}

    def versions(self, domain: str, op_type: str) -> Sequence[Signature]:
        """Every version of an operator, oldest first."""
        return _histories().get((domain, op_type), ())

    def type_of(self, value: Value) -> ValueType | None:
        """A value's type as far as it is stated or can be inferred."""
        value = self._origin(value)
        if value not in self._types:
            wanted, self._results = [value, *self._results], []
            for opset, nodes in groupby(self._behind(wanted), _plain_opset):
                self._infer(opset, list(nodes))
        return self._types[value]

    def _behind(self, values: Iterable[Value]) -> list[Node]:
        """The nodes that types of values have to be inferred from, in their order."""
        pending = list(map(self._origin, values))
        nodes, seen = set[Node](), set(pending)
        while pending:
            current = pending.pop()
            if current in self._types:
                continue
            node = current.node
            if node is None or _is_complete(current.type):
                self._types[current] = current.type
            elif node not in nodes:
                nodes.add(node)
                behind = set(map(self._origin, dependencies(node))) - seen
                seen |= behind
                pending.extend(behind)
        return sorted(nodes, key=lambda node: node.serial)

    def type_name(self, value: Value) -> str | None:
        """A value's type as schemas spell it; what they say of it goes before inference."""
        alike, name = [self._origin(value)], None
        while name is None:
            source = self._names.get(alike[-1]) or self._by_schema(alike[-1])
            if isinstance(source, Value):
                alike.append(self._origin(source))
                continue
            name = source or _type_name(self.type_of(alike[-1]))
            if name is None:
                return None
        self._names.update(dict.fromkeys(alike, name))
        return name

    def _by_schema(self, value: Value) -> Value | str | None:
        """The type's name, or an input of the node that is of the same type."""
        node = value.node
        known = _type_name(self._types.get(value) or value.type)
        if known is not None or node is None or node.has_graphs:
            return known
        formal = _formal_of(node, value.index)
        if formal is None:
            return None
        if len(formal.types) == 1:
            return next(iter(formal.types))
        return next(_inputs_like(node, formal), None)

    def element(self, value: Value) -> DType | None:
        """A tensor's element type; None where it is unknown or the value is no tensor."""
        return _elements().get(self.type_name(value) or "")

    def dtype_name(self, element: DType) -> str:
        """How schemas spell a tensor's type."""
        return _dtype_name(element)

    def assume(self, value: Value, value_type: ValueType | None) -> None:
        """Note what is known of a value that does not say its type itself."""
        self._types[value] = _better(value.type, value_type)

    def same(self, new: Iterable[Value | None], old: Iterable[Value | None]) -> None:
        """Note that some values take the place of others, and so are of their types."""
        for value, origin in zip(new, old, strict=False):
            if value is not None and origin is not None:
                self._same[value] = self._origin(origin)

    def has_body(self, domain: str, op_type: str, version: int) -> bool:
        """Whether the schema says what some nodes do in other operators."""
        schema: Any = onnx.defs.get_schema(op_type, version, domain)
        return schema.has_function or schema.has_context_dependent_function

    def body(self, node: Node, version: int) -> Function | None:
        """What an operator's schema says that a node does in other operators."""
        names = _Names(self._origin)
        proto = GraphWriter(names, _data, HeldData(None)).node(node)
        types = {names[v]: write_type(self.type_of(v)) for v in node.inputs if v is not None}
        return schema_body(proto, node.version, types, version)

    def _origin(self, value: Value) -> Value:
        return self._same.get(value, value)

    def _infer(self, opset: _Opset | None, nodes: Sequence[Node]) -> None:
        """Note the types of nodes' outputs, those of nodes of one opset together."""
        if opset is not None and self._infer_together(opset, nodes):
            return
        for node in nodes:
            if node.function is not None and node.function.local:
                self._infer_call(node, node.function)
            else:
                self._note([node], _Names(self._origin), self._inferred(node))

    def _note(
        self, nodes: Sequence[Node], names: "_Names", inferred: Mapping[str, ValueType | None]
    ) -> None:
        """Note types by name: what values say themselves goes first."""
        for node in nodes:
            for value in node.outputs:
                if value is not None:
                    self._types[value] = _better(value.type, inferred.get(names[value]))

    def _infer_together(self, opset: _Opset, nodes: Sequence[Node]) -> bool:
        """Infer in one graph, several times as fast as node by node; False where onnx refuses."""
        names = _Names(self._origin)
        writer = GraphWriter(names, _data, HeldData(None))
        used = dict.fromkeys(self._origin(v) for node in nodes for v in dependencies(node))
        made = [value for node in nodes for value in node.outputs if value is not None]
        info = onnx.helper.make_value_info
        given = [info(names[v], write_type(self._types[v])) for v in used if v in self._types]
        stated = [info(names[v], write_type(v.type)) for v in made if v.type is not None]
        constants = [(names[v], tensor) for v in used if (tensor := _small(v)) is not None]
        for name, tensor in constants:
            tensor.name = name
        graph = onnx.GraphProto(node=map(writer.node, nodes), input=given, value_info=stated)
        graph.initializer.extend(tensor for _, tensor in constants)
        model = onnx.ModelProto(graph=graph, opset_import=[onnx.helper.make_opsetid(*opset)])
        try:
            inferred = onnx.shape_inference.infer_shapes(model).graph.value_info
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError):
            return False
        self._note(nodes, names, {entry.name: read_type(entry.type) for entry in inferred})
        return True

    def _infer_call(self, node: Node, function: Function) -> None:
        """A function's results may be of other types at every call."""
        _, results = expand(node, function)
        for value, result in zip(node.outputs, results, strict=True):
            if value is not None:
                inferred = result and self.type_of(result)
                self._types[value] = _better(value.type, inferred)

    def _inferred(self, node: Node) -> Mapping[str, ValueType | None]:
        domain = short_domain(node.domain)
        if not onnx.defs.has(node.op_type, node.version, domain):
            return {}
        names, used = _Names(self._origin), list(dependencies(node))
        try:
            types = onnx.shape_inference.infer_node_outputs(
                onnx.defs.get_schema(node.op_type, node.version, domain),
                GraphWriter(names, _data, HeldData(None)).node(node),
                {names[v]: write_type(self._types[self._origin(v)]) for v in used},
                {names[v]: tensor for v in used if (tensor := _small(v)) is not None},
                opset_imports=[onnx.helper.make_opsetid(domain, node.version)],
            )
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, ValueError):
            return {}
        return {name: read_type(proto) for name, proto in types.items()}


class _Names(dict[Value, str]):
    """A name for any value, that of the value in whose place it is."""

    def __init__(self, origin: Callable[[Value], Value]) -> None:
        super().__init__()
        self._origin = origin

    def __missing__(self, value: Value) -> str:
        return f"v{self._origin(value).serial}"


def _plain_opset(node: Node) -> _Opset | None:
    """What a node may be inferred in one graph with others by; None for graphs and calls."""
    if node.has_graphs or (node.function is not None and node.function.local):
        return None
    return short_domain(node.domain), node.version


def _data(value: Value) -> Tensor | SparseTensor:
    if isinstance(value.data, Tensor | SparseTensor):
        return value.data
    raise ModelError(f"{value!r} has no data yet")


def _small(value: Value) -> onnx.TensorProto | None:
    array = constant_data(value)
    return write_tensor(Tensor(array)) if array is not None and array.size <= MAX_DATA else None


def _is_complete(value_type: ValueType | None) -> bool:
    if isinstance(value_type, TensorType):
        return value_type.dtype is not None and value_type.shape is not None
    return value_type is not None


def _better(stated: ValueType | None, inferred: ValueType | None) -> ValueType | None:
    if isinstance(stated, TensorType) and isinstance(inferred, TensorType):
        return TensorType(stated.dtype or inferred.dtype, stated.shape or inferred.shape)
    return stated or inferred


def _dtype_name(element: DType) -> str:
    return f"tensor({onnx.TensorProto.DataType.Name(element.code).lower()})"


def _type_name(value_type: ValueType | None) -> str | None:
    match value_type:
        case TensorType(DType() as element):
            return _dtype_name(element)
        case SequenceType(element):
            inner = _type_name(element)
            return inner and f"seq({inner})"
        case OptionalType(element):
            inner = _type_name(element)
            return inner and f"optional({inner})"
    return None


@cache
def _elements() -> Mapping[str, DType]:
    return {_dtype_name(element): element for element in DTYPES}


def _inputs_like(node: Node, formal: Formal) -> Iterator[Value]:
    """The inputs that are of the type of an output."""
    signature = _signature_of(node)
    for index, value in enumerate(node.inputs):
        given = signature and signature.input_at(index)
        if value is not None and given and given.constraint == formal.constraint:
            yield value


def _formal_of(node: Node, index: int) -> Formal | None:
    signature = _signature_of(node)
    return signature and signature.output_at(index)


def _signature_of(node: Node) -> Signature | None:
    """What the schema says of a node that no function of the model runs."""
    if node.function is not None and node.function.local:
        return None
    versions = _histories().get((short_domain(node.domain), node.op_type), ())
    return next((s for s in reversed(versions) if s.since <= node.version), None)


@cache
def _histories() -> Mapping[tuple[str, str], Sequence[Signature]]:
    histories: dict[tuple[str, str], list[Signature]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        histories.setdefault((schema.domain, schema.name), []).append(_signature(schema))
    return {key: sorted(found, key=lambda s: s.since) for key, found in histories.items()}


def _signature(schema: onnx.defs.OpSchema) -> Signature:
    allowed = {c.type_param_str: frozenset(c.allowed_type_strs) for c in schema.type_constraints}
    return Signature(
        schema.since_version,
        tuple(_formals(schema.inputs, allowed)),
        tuple(_formals(schema.outputs, allowed)),
        {name: _setting(attribute) for name, attribute in schema.attributes.items()},
        schema.max_input,
        schema.max_output,
        schema.deprecated,
    )


def _formals(parameters: Sequence[Any], allowed: Mapping[str, frozenset[str]]) -> Iterator[Formal]:
    for p in parameters:
        types = allowed.get(p.type_str, frozenset([p.type_str]))
        is_required = p.option == onnx.defs.OpSchema.FormalParameterOption.Single
        yield Formal(p.name, p.type_str, types, is_required)


def _setting(attribute: onnx.defs.OpSchema.Attribute) -> Setting:
    kind: AttributeKind = attribute.type.name.lower().replace("type_proto", "type")  # pyright: ignore
    default = attribute.default_value
    return Setting(kind, attribute.required, read_default(default) if default.type else None)
