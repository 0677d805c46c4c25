"""The types of what graphs and functions inside a graph are given."""

from collections.abc import Iterator, Sequence

from hetu.ir import Graph, Node
from hetu.passes.opset.schema import Schemas
from hetu.types import BOOL, INT64, SequenceType, TensorType, ValueType


def assume_formals(node: Node, body: Graph, schemas: Schemas) -> None:
    """Note the types that a node's body is given, as far as the node's inputs tell them."""
    given = [value and schemas.type_of(value) for value in node.inputs]
    find = {"Loop": _of_loop, "Scan": _of_scan, "SequenceMap": _of_map}.get(node.op_type)
    if find is not None:
        _assume(body, find(node, given), schemas)


def _assume(body: Graph, types: Iterator[ValueType | None], schemas: Schemas) -> None:
    for formal, value_type in zip(body.inputs, types, strict=False):
        if schemas.type_of(formal) is None:
            schemas.assume(formal, value_type)


def _of_loop(node: Node, given: Sequence[ValueType | None]) -> Iterator[ValueType | None]:
    """The sizes of what is carried may change from step to step."""
    yield TensorType(INT64, ())
    yield TensorType(BOOL, ())
    for value_type in given[2:]:
        is_tensor = isinstance(value_type, TensorType)
        yield TensorType(value_type.dtype) if is_tensor else value_type


def _of_scan(node: Node, given: Sequence[ValueType | None]) -> Iterator[ValueType | None]:
    """A step of what is scanned lacks the axis of the steps."""
    n_scanned = node.attributes["num_scan_inputs"].value
    yield from given[: len(given) - n_scanned]
    for value_type in given[len(given) - n_scanned :]:
        if not isinstance(value_type, TensorType) or value_type.shape is None:
            yield value_type
        else:
            yield TensorType(value_type.dtype, (None,) * (len(value_type.shape) - 1))


def _of_map(node: Node, given: Sequence[ValueType | None]) -> Iterator[ValueType | None]:
    for value_type in given:
        yield value_type.element if isinstance(value_type, SequenceType) else value_type
