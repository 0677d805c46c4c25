"""Makes the nodes that passes put into a graph."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hetu.ir import Attribute, Node, Tensor, Value, add_outputs
from hetu.ops.registry import FUSED, find
from hetu.types import AttributeKind

Given = Mapping[str, Any]
"""Attributes: Python values, or `Attribute`s. None is no attribute."""

_NEWEST = 1 << 30


def make(
    op_type: str,
    inputs: Sequence[Value | None],
    like: Value | None = None,
    attributes: Given | None = None,
    *,
    domain: str = "",
    version: int | None = None,
) -> Node:
    """A node with one output; the output has the name and the type of `like` where that is given.

    Without a version, the operator's newest one is meant.
    """
    return make_with(op_type, inputs, [like], attributes, domain=domain, version=version)


def make_with(
    op_type: str,
    inputs: Sequence[Value | None],
    likes: Sequence[Value | None],
    attributes: Given | None = None,
    *,
    domain: str = FUSED,
    version: int | None = None,
) -> Node:
    """A node with an output for each of `likes`."""
    given = {n: _attribute(v) for n, v in (attributes or {}).items() if v is not None}
    kernel = find(domain, op_type, _NEWEST) if version is None else None
    since = kernel.since if kernel else version or 1
    name = next((like.name for like in likes if like), "")
    node = Node(op_type, tuple(inputs), given, domain, since, name=name)
    outputs = [
        Value(like.name if like else "", like.type if like else None, node, index)
        for index, like in enumerate(likes)
    ]
    return add_outputs(node, outputs)


def make_again(
    node: Node, inputs: Sequence[Value | None], like: Value | None = None, **changed: Any
) -> Node:
    """The operator of `node` on other inputs, with its attributes but for those `changed`."""
    attributes = {**node.attributes, **changed}
    return make(node.op_type, inputs, like, attributes, version=node.version)


def make_fused(
    op_type: str,
    inputs: Sequence[Value | None],
    like: Value | None = None,
    attributes: Given | None = None,
) -> Node:
    """A node of an operator that only passes create."""
    return make(op_type, inputs, like, attributes, domain=FUSED)


def output_of(node: Node) -> Value:
    """The only output of a node that `make` made."""
    (value,) = node.outputs
    assert value is not None
    return value


def constant(array: np.ndarray, name: str = "") -> Value:
    """A constant of the graph."""
    data = Tensor(array)
    return Value(name, data.type, data=data, constant=True)


def _attribute(value: Any) -> Attribute:
    if isinstance(value, Attribute):
        return value
    return Attribute(_kind(value), value)


def _kind(value: Any) -> AttributeKind:
    if isinstance(value, bool | int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "string"
    return "floats" if value and isinstance(value[0], float) else "ints"
