"""What a conversion knows of operators and values; `hetu.onnx` supplies it from onnx's schemas."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hetu.ir import Attribute, Function, Node, Value
from hetu.types import AttributeKind, DType, ValueType


@dataclass(frozen=True, slots=True)
class Formal:
    """An input or output of an operator; `types` are the allowed ones as schemas spell them.

    Formals with the same `constraint` are of one type.
    """

    name: str
    constraint: str
    types: frozenset[str]
    required: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """An attribute of an operator; `default` is its default value, None where it has none."""

    kind: AttributeKind
    required: bool
    default: Attribute | None


@dataclass(frozen=True, slots=True)
class Signature:
    """One version of an operator; the last of `inputs` and `outputs` may stand for any number."""

    since: int
    inputs: tuple[Formal, ...]
    outputs: tuple[Formal, ...]
    settings: Mapping[str, Setting]
    max_inputs: int
    max_outputs: int
    deprecated: bool

    def input_at(self, index: int) -> Formal | None:
        """The formal of the input at a position."""
        return _at(self.inputs, index, self.max_inputs)

    def output_at(self, index: int) -> Formal | None:
        """The formal of the output at a position."""
        return _at(self.outputs, index, self.max_outputs)


def _at(formals: Sequence[Formal], index: int, limit: int) -> Formal | None:
    return formals[min(index, len(formals) - 1)] if formals and index < limit else None


class Schemas(Protocol):
    """Where a conversion looks up operators and the types of values."""

    def versions(self, domain: str, op_type: str) -> Sequence[Signature]:
        """Every version of an operator, oldest first; none where the operator is unknown."""
        ...

    def type_of(self, value: Value) -> ValueType | None:
        """A value's type as far as it is stated or can be inferred."""
        ...

    def type_name(self, value: Value) -> str | None:
        """The same as schemas spell it: `tensor(float)`; None where it is unknown."""
        ...

    def element(self, value: Value) -> DType | None:
        """A tensor's element type; None where it is unknown or the value is no tensor."""
        ...

    def dtype_name(self, element: DType) -> str:
        """How schemas spell a tensor's type."""
        ...

    def assume(self, value: Value, value_type: ValueType | None) -> None:
        """Note what is known of a value that does not say its type itself."""
        ...

    def same(self, new: Iterable[Value | None], old: Iterable[Value | None]) -> None:
        """Note that some values take the place of others, and so are of their types."""
        ...

    def has_body(self, domain: str, op_type: str, version: int) -> bool:
        """Whether some nodes of an operator can be replaced by other operators."""
        ...

    def body(self, node: Node, version: int) -> Function | None:
        """What a node does in other operators, those of opset `version` where there is a choice."""
        ...
