"""Puts the bodies of functions in the place of their calls, so that passes see one graph."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from hetu.errors import LimitError
from hetu.ir import (
    Attribute,
    Function,
    Graph,
    Node,
    Substitution,
    Value,
    nested_graphs,
    with_graphs,
)
from hetu.ops.registry import find_custom

MAX_NESTING = 64
"""How deep graphs and functions may be nested in each other."""

MAX_NODES = 1_000_000
"""How many nodes calls may become: functions that call others twice double with every level."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a node stands: `attributes` are those of the call whose body it is in, if it is."""

    values: Substitution
    attributes: Mapping[str, Attribute] | None = None
    path: str = ""
    depth: int = 0

    def deeper(self) -> "_Scope":
        if self.depth == MAX_NESTING:
            raise LimitError(f"graphs and functions are nested more than {MAX_NESTING} deep")
        return replace(self, depth=self.depth + 1)


def called_function(node: Node) -> Function | None:
    """The function that a node runs; a kernel that the user gave its operator goes before it."""
    is_custom = node.function and find_custom(node.domain, node.op_type, node.version)
    return None if is_custom else node.function


def inline(graph: Graph) -> Graph:
    """The graph without calls of functions, in the graphs inside it too.

    References to a function's attributes become the call's values; one to an attribute that is not
    given is dropped. Nodes of a body are named after the call that they belong to. Raises
    `LimitError` where functions are nested too deep or make too many nodes.
    """
    if not any(map(called_function, (n for inner in nested_graphs(graph) for n in inner.nodes))):
        return graph
    _check_size(graph)
    return _graph(graph, _Scope(Substitution()))


def expand(node: Node, function: Function) -> tuple[Sequence[Node], Sequence[Value | None]]:
    """The nodes that a call of a function stands for, and what its outputs are then.

    Calls in the body are replaced as well. Raises `LimitError` like `inline`.
    """
    _check_size(function.body)
    scope = _Scope(Substitution())
    nodes = tuple(_call(node, function, scope))
    return nodes, [scope.values.optional(value) for value in node.outputs]


def _check_size(graph: Graph) -> None:
    if _size(graph, {}, 0) > MAX_NODES:
        raise LimitError(f"the model's functions make more than {MAX_NODES:,} nodes")


def _size(graph: Graph, sizes: dict[Function, int], depth: int) -> int:
    """How many nodes a graph has once functions are inlined; `sizes` remembers that of each."""
    if depth > MAX_NESTING:
        raise LimitError(f"functions are nested more than {MAX_NESTING} deep")
    size = 0
    for function in map(
        called_function, (n for inner in nested_graphs(graph) for n in inner.nodes)
    ):
        if function is not None and function not in sizes:
            sizes[function] = _size(function.body, sizes, depth + 1)
        size += 1 if function is None else sizes[function]
    return size


def _graph(graph: Graph, scope: _Scope) -> Graph:
    return scope.values.graph(graph, _nodes(graph.nodes, scope))


def _nodes(nodes: Iterable[Node], scope: _Scope) -> Iterator[Node]:
    for node in nodes:
        function = called_function(node)
        if function is not None:
            yield from _call(node, function, scope)
        elif scope.attributes is None and not node.has_graphs:
            yield scope.values.node(node)
        else:
            yield _copied(node, scope)


def _call(node: Node, function: Function, scope: _Scope) -> Iterator[Node]:
    given = {**function.defaults, **_attributes(node, scope)}
    path = _path(node, scope)
    inner = replace(scope.deeper(), values=Substitution(), attributes=given, path=path)
    for parameter, value in zip_longest(function.body.inputs, node.inputs):
        if parameter is not None:
            inner.values[parameter] = scope.values.optional(value)
    for value in function.captured:
        inner.values[value] = scope.values.optional(value)
    yield from _nodes(function.body.nodes, inner)
    for output, result in zip(node.outputs, function.body.outputs, strict=False):
        if output is not None:
            scope.values[output] = inner.values.optional(result)


def _copied(node: Node, scope: _Scope) -> Node:
    inputs = tuple(map(scope.values.optional, node.inputs))
    attributes = _attributes(node, scope)
    return scope.values.copy(node, inputs, attributes, name=_path(node, scope))


def _attributes(node: Node, scope: _Scope) -> Mapping[str, Attribute]:
    """A node's attributes with references resolved, and without calls in the graphs."""
    attributes = _resolved(node.attributes, scope.attributes)
    if not node.has_graphs:
        return attributes
    inner = scope.deeper()
    return with_graphs(attributes, lambda graph: _graph(graph, inner))


def _path(node: Node, scope: _Scope) -> str:
    """A node's name, or its first output's, after that of the call whose body it is in."""
    names = (node.name, *(value.name for value in node.outputs if value is not None))
    name = next(filter(None, names), node.op_type)
    return f"{scope.path}/{name}" if scope.path else name


def _resolved(
    attributes: Mapping[str, Attribute], given: Mapping[str, Attribute] | None
) -> Mapping[str, Attribute]:
    if given is None or not any(attribute.reference for attribute in attributes.values()):
        return attributes
    pairs = ((n, given.get(a.reference) if a.reference else a) for n, a in attributes.items())
    return {name: attribute for name, attribute in pairs if attribute is not None}
