"""Moves nodes to another version of their operators where both versions mean the same.

They do where one kernel serves both, or where all that changed is that a parameter became an input
after having been an attribute, or the other way round.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from hetu.ir import Attribute, Graph, Node, Substitution, Tensor, Value, nested_graphs
from hetu.ops.registry import ATTRIBUTE_KINDS, Kernel, Parameter, find


def different_nodes(graph: Graph, domain: str, version: int) -> list[Node]:
    """The nodes of a domain that cannot be restamped to `version`."""
    return [
        node
        for inner in nested_graphs(graph)
        for node in inner.nodes
        if node.domain == domain and node.function is None and not _is_equal(node, version)
    ]


def restamp(graph: Graph, domain: str, version: int) -> Graph:
    """The graph with every node of a domain at `version`; none may be among `different_nodes`."""
    return _restamp(graph, domain, version, Substitution())


def _restamp(graph: Graph, domain: str, version: int, values: Substitution) -> Graph:
    constants: list[Value] = []
    nodes = [_restamp_node(node, domain, version, values, constants) for node in graph.nodes]
    copy = values.graph(graph, nodes)
    return replace(copy, initializers=(*copy.initializers, *constants))


def _restamp_node(
    node: Node, domain: str, version: int, values: Substitution, constants: list[Value]
) -> Node:
    is_moved = node.domain == domain and node.version != version
    if not is_moved and not any(node.graphs):
        return values.node(node)
    attributes = {
        name: replace(a, value=_restamp(a.value, domain, version, values))
        if a.kind == "graph"
        else a
        for name, a in node.attributes.items()
    }
    inputs = tuple(map(values.optional, node.inputs))
    if not is_moved:
        return values.copy(node, inputs, attributes)
    if node.function is None:
        inputs, attributes, made = _rearranged(node, version, inputs, attributes)
        constants += made
    return values.copy(node, inputs, attributes, version)


def _is_equal(node: Node, version: int) -> bool:
    old, new = _kernels(node, version)
    if old is new:
        return True
    if old is None or new is None or not _is_rearranged(old, new):
        return False
    settings = [value for p, value in _given(old, node) if p.name in new.attributes]
    return all(value.constant and isinstance(value.data, Tensor) for value in settings)


def _kernels(node: Node, version: int) -> tuple[Kernel | None, Kernel | None]:
    return (
        find(node.domain, node.op_type, node.version),
        find(node.domain, node.op_type, version),
    )


def _is_rearranged(old: Kernel, new: Kernel) -> bool:
    """Whether some parameters changed sides, and no other is there that a node must give."""
    moved = _input_names(old) & new.attributes.keys() | _input_names(new) & old.attributes.keys()
    shared = (_input_names(old) | old.attributes.keys()) & (
        _input_names(new) | new.attributes.keys()
    )
    new_ones = [p for p in (*new.inputs, *new.attributes.values()) if p.name not in shared]
    old_ones = [p for p in (*old.inputs, *old.attributes.values()) if p.name not in shared]
    return bool(moved) and not any(p.required for p in (*new_ones, *old_ones))


def _input_names(kernel: Kernel) -> set[str]:
    return {parameter.name for parameter in kernel.inputs}


def _given(kernel: Kernel, node: Node) -> Iterator[tuple[Parameter, Value]]:
    for parameter, value in zip(kernel.inputs, node.inputs, strict=False):
        if value is not None:
            yield parameter, value


def _rearranged(
    node: Node,
    version: int,
    inputs: tuple[Value | None, ...],
    attributes: dict[str, Attribute],
) -> tuple[tuple[Value | None, ...], dict[str, Attribute], list[Value]]:
    """Inputs and attributes as `version` has them, and the constants made for it."""
    old, new = _kernels(node, version)
    if old is new or old is None or new is None:
        return inputs, attributes, []
    by_name = dict(zip((p.name for p in old.inputs), inputs, strict=False))
    element = next((v.dtype.numpy for v in inputs if v and v.dtype), np.dtype(np.float32))
    made = {
        p.name: _constant(attributes[p.name], p, element)
        for p in new.inputs
        if p.name in attributes
    }
    settings = {
        name: _attribute(by_name[name], parameter)
        for name, parameter in new.attributes.items()
        if by_name.get(name) is not None
    }
    kept = {name: a for name, a in attributes.items() if name in new.attributes}
    arranged = [made.get(p.name, by_name.get(p.name)) for p in new.inputs]
    while arranged and arranged[-1] is None:
        arranged.pop()
    rest = inputs[len(old.inputs) :]
    return (*arranged, *rest), {**kept, **settings}, list(made.values())


_INTEGER_KINDS = ("ints", "int")


def _constant(attribute: Attribute, parameter: Parameter, element: np.dtype) -> Value:
    """An attribute's content as an input; a tensor parameter takes the type of the data."""
    own = np.dtype(np.int64 if attribute.kind in _INTEGER_KINDS else np.float32)
    data = Tensor(np.asarray(attribute.value, element if parameter.kind == "Tensor" else own))
    return Value(parameter.name, data.type, data=data, constant=True)


def _attribute(value: Value | None, parameter: Parameter) -> Attribute:
    assert value is not None and isinstance(value.data, Tensor)
    array, kind = value.data.array, ATTRIBUTE_KINDS[parameter.kind]
    number = int if kind in _INTEGER_KINDS else float
    if kind in ("ints", "floats"):
        return Attribute(kind, tuple(number(element) for element in array.reshape(-1).tolist()))
    return Attribute(kind, number(array.item()))
