"""What a rule works with: the node to lead over a step, and the nodes that take its place."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from hetu.ir import Attribute, Graph, Node, Tensor, Value, add_outputs, next_serial
from hetu.passes.opset.schema import Schemas, Signature
from hetu.types import (
    FLOAT32,
    INT64,
    DType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
    short_domain,
)

Operand = Value | np.ndarray | np.generic | Sequence[int] | None
"""An input of a new node; arrays and lists of integers become constants."""


END = np.iinfo(np.int64).max
"""Where a Slice goes on to the end."""


class InconvertibleError(Exception):
    """A node has no form in the version wanted; the message says why, `step` at which step."""

    step = ""

    def at(self, step: str) -> "InconvertibleError":
        """The error with the step at which it arose first."""
        self.step = self.step or step
        return self


class Rewrite:
    """One step of one node, from the signature `old` to `new` (None: it does not exist there).

    The node goes on at opset `version` of its domain; beside it, ai.onnx is at `opset`.
    """

    def __init__(
        self,
        node: Node,
        version: int,
        old: Signature,
        new: Signature | None,
        schemas: Schemas,
        used: Sequence[bool],
        opset: int,
    ) -> None:
        self.node = node
        self.version = version
        self.old = old
        self.new = new
        self.schemas = schemas
        self.nodes: list[Node] = []
        self._used = used
        self._opset = opset if short_domain(node.domain) else version

    def inner(self) -> "Rewrite":
        """Another list of nodes, for a graph inside one of these."""
        return Rewrite(
            self.node, self.version, self.old, self.new, self.schemas, self._used, self._opset
        )

    # What the node has

    def input(self, index: int) -> Value | None:
        """An input, None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def given(self, index: int) -> Value:
        """An input that an operator cannot do without."""
        value = self.input(index)
        if value is None:
            self.fail(f"its input {index} is missing")
        return value

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute's value, else `default`."""
        attribute = self.node.attributes.get(name)
        if attribute is None:
            return default
        if attribute.reference:
            self.fail(f"its attribute {name!r} is an argument of the function around it")
        return attribute.value

    def is_used(self, output: int) -> bool:
        """Whether anything needs this output."""
        return output < len(self._used) and self._used[output]

    # What is known

    def type(self, value: Value) -> ValueType:
        """A value's type."""
        found = self.schemas.type_of(value)
        if found is None:
            self.fail(f"the type of {_title(value)} is not known; state it in value_info")
        return found

    def dtype(self, value: Value) -> DType:
        """A tensor's element type."""
        found = self.schemas.element(value)
        if found is None:
            self.fail(f"the type of {_title(value)} is not known; state it in value_info")
        return found

    def work_type(self, value: Value) -> DType:
        """What to sum a tensor of floats in: its own type, or float32 where that is wider."""
        element = self.dtype(value)
        return element if element.bits >= FLOAT32.bits else FLOAT32

    def shape(self, value: Value) -> tuple[Any, ...] | None:
        """A tensor's dimensions, None where not even the rank is known."""
        found = self.schemas.type_of(value)
        return found.shape if isinstance(found, TensorType) else None

    def rank(self, value: Value) -> int:
        """A tensor's rank."""
        shape = self.shape(value)
        if shape is None:
            self.fail(f"the rank of {_title(value)} is not known; give input_shapes or value_info")
        return len(shape)

    def is_tensor(self, value: Value) -> bool:
        """Whether a value is neither a sequence nor optional."""
        return not isinstance(self.type(value), SequenceType | OptionalType)

    def ints(self, value: Value, what: str) -> list[int]:
        """The elements of the constant that is the input `what`."""
        array = constant_data(value)
        if array is None:
            self.fail(f"its input {what!r} is computed; only a constant has a form there")
        return array.reshape(-1).tolist()

    # What takes its place

    def op(
        self,
        op_type: str,
        *inputs: Operand,
        outputs: int = 1,
        version: int | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> Any:
        """A new node's output, or the tuple of its `outputs`; attributes that are None go.

        Nodes of another domain than ai.onnx are at the version of the node itself.
        """
        given = {name: as_attribute(a) for name, a in attributes.items() if a is not None}
        node = Node(
            op_type,
            _trimmed(map(as_value, inputs)),
            given,
            domain=domain,
            version=version or (self.version if domain else self._opset),
            name=f"{self.node.name}/{op_type}" if self.node.name else "",
        )
        values = self._add(node, [True] * outputs)
        return values[0] if outputs == 1 else values

    def cast(self, value: Value, element: DType) -> Value:
        """A tensor as one of a type, itself where it is known to be that."""
        is_same = self.schemas.element(value) is element
        return value if is_same else self.op("Cast", value, to=element.code)

    def sized(self, value: Value, *sizes: Operand) -> Value:
        """A tensor of other dimensions, those of all the lists together; a 0 among them is one."""
        return self.op("Reshape", value, self.op("Concat", *sizes, axis=0), allowzero=1)

    def sizes(self, value: Value, start: int, end: int = END) -> Value:
        """A tensor's dimensions from one axis to another, when it runs."""
        return self.op("Slice", self.op("Shape", value, version=13), [start], [end], version=13)

    def keep(
        self,
        inputs: Sequence[Operand] | None = None,
        without: Sequence[str] = (),
        op_type: str | None = None,
        outputs: int | None = None,
        **attributes: Any,
    ) -> Sequence[Value | None]:
        """The node itself in the other version, changed as stated; attributes that are None go."""
        kept = {n: a for n, a in self.node.attributes.items() if n not in (*without, *attributes)}
        made = {name: as_attribute(a) for name, a in attributes.items() if a is not None}
        node = replace(
            self.node,
            op_type=op_type or self.node.op_type,
            inputs=_trimmed(self.node.inputs if inputs is None else map(as_value, inputs)),
            attributes={**kept, **made},
            version=self.version,
            serial=next_serial(),
        )
        return self._add(node, [value is not None for value in self.node.outputs[:outputs]])

    def _add(self, node: Node, is_used: Sequence[bool]) -> tuple[Value | None, ...]:
        values = [Value(node=node, index=i) if used else None for i, used in enumerate(is_used)]
        self.nodes.append(add_outputs(node, values))
        return node.outputs

    def results(self, results: Value | Sequence[Value | None]) -> Sequence[Value | None]:
        """Results of a rule as outputs of different new nodes."""
        values = [results] if isinstance(results, Value) else results
        return as_outputs(values, self.nodes, self._opset)

    def constant(self, content: object, element: DType) -> Value:
        """A constant of a type."""
        value = as_value(np.asarray(content, element.numpy))
        assert value is not None
        return value

    def reference(self, name: str) -> Value:
        """A function's argument, which an attribute refers to, as a value."""
        attribute = self.node.attributes[name]
        content: dict[str, Any] = {f"value_{attribute.kind}": attribute}
        return self.op("Constant", version=max(self._opset, 12), **content)

    def fail(self, reason: str) -> NoReturn:
        """Say that there is no form in the other version."""
        raise InconvertibleError(reason)


def as_outputs(
    results: Sequence[Value | None], nodes: list[Node], version: int
) -> Sequence[Value | None]:
    """Results as outputs of different nodes: of an Identity where they are none of `nodes`."""
    values, made = list(results), {value for node in nodes for value in node.outputs}
    for index, value in enumerate(values):
        if value is not None and (value not in made or value in values[:index]):
            node = add_outputs(Node("Identity", (value,), {}, version=version), [Value()])
            nodes.append(node)
            values[index] = node.outputs[0]
    return values


def _trimmed(values: Iterable[Value | None]) -> tuple[Value | None, ...]:
    """Inputs without the absent ones at the end."""
    inputs = list(values)
    while inputs and inputs[-1] is None:
        inputs.pop()
    return tuple(inputs)


def as_value(operand: Operand) -> Value | None:
    """An input of a new node."""
    if operand is None or isinstance(operand, Value):
        return operand
    is_array = isinstance(operand, np.ndarray | np.generic)
    data = Tensor(np.asarray(operand, None if is_array else INT64.numpy))
    return Value(type=data.type, data=data, constant=True)


def as_attribute(value: Any) -> Attribute:
    """An attribute of a new node, of the kind that the Python value says."""
    match value:
        case Attribute():
            return value
        case np.ndarray():
            return Attribute("tensor", Tensor(value))
        case bool() | int():
            return Attribute("int", int(value))
        case float():
            return Attribute("float", value)
        case str():
            return Attribute("string", value)
        case Graph():
            return Attribute("graph", value)
    is_real = any(isinstance(element, float) for element in value)
    return Attribute("floats" if is_real else "ints", tuple(value))


def constant_data(value: Value | None) -> np.ndarray | None:
    """The array of a constant, or of a Constant node; None where the value is computed or fed."""
    if value is None:
        return None
    if value.node is None:
        return value.data.array if value.constant and isinstance(value.data, Tensor) else None
    node = value.node
    if node.op_type != "Constant" or short_domain(node.domain):
        return None
    (attribute,) = node.attributes.values()
    if attribute.reference or attribute.kind not in _CONSTANT_TYPES:
        return None
    if attribute.kind == "tensor":
        return attribute.value.array
    return np.asarray(attribute.value, _CONSTANT_TYPES[attribute.kind])


_CONSTANT_TYPES = {
    "tensor": None, "int": np.int64, "ints": np.int64, "float": np.float32, "floats": np.float32,
}  # fmt: skip


def _title(value: Value) -> str:
    return repr(value.name) if value.name else "an inner value"
