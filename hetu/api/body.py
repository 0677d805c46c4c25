"""Graphs as attributes: the branches of If, the bodies of Loop and Scan, from Python functions."""

from collections.abc import Callable, Sequence
from typing import Any

from hetu import ir
from hetu.api.value import Value, make
from hetu.types import TensorType, ValueType, dtype

Example = ir.Value | ValueType | tuple[Any, Sequence[int | str | None]] | str
"""What says a body input's type: a value of it, a type, (dtype, shape), or a dtype's name."""


def body(function: Callable[..., Any], *inputs: Example, name: str = "body") -> ir.Graph:
    """The graph that `function` builds from placeholders of the given types.

    The function returns a value or a sequence of values; it may use values of the graph around it.
    Pass the result as an attribute: `op.If(c, then_branch=body(lambda: a + b), else_branch=...)`.
    """
    placeholders = tuple(Value(f"{name}_in_{i}", _type_of(x)) for i, x in enumerate(inputs))
    mark = ir.next_serial()
    made = function(*placeholders)
    outputs = tuple(made) if isinstance(made, list | tuple) else (made,)
    outputs = tuple(
        make("Identity", value) if value in outputs[:i] else _made_inside(value, mark)
        for i, value in enumerate(outputs)
    )
    nodes = tuple(node for node in ir.needed_nodes(outputs) if node.serial > mark)
    return ir.Graph(placeholders, outputs, nodes, name=name)


def _type_of(example: Example) -> ValueType | None:
    match example:
        case ir.Value():
            return example.type
        case str():
            return TensorType(dtype(example))
        case (element, shape):
            return TensorType(dtype(element), tuple(shape))
    return example


def _made_inside(value: ir.Value, mark: int) -> ir.Value:
    """The value as a result of a node of the body, which is what ONNX wants outputs to be."""
    is_inside = value.node is not None and value.node.serial > mark
    return value if is_inside else make("Identity", value)
