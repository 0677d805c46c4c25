"""A function's body for one call: references to attributes become the call's values."""

from collections.abc import Mapping
from dataclasses import replace

from hetu.ir import Attribute, Function, Graph, Node, Substitution


def instantiate(function: Function, attributes: Mapping[str, Attribute]) -> Graph:
    """The body with every reference resolved; a reference to an attribute not given is dropped."""
    given = {**function.defaults, **attributes}
    return _resolve_graph(function.body, given, Substitution())


def _resolve_graph(graph: Graph, given: Mapping[str, Attribute], values: Substitution) -> Graph:
    nodes = [_resolve_node(node, given, values) for node in graph.nodes]
    return values.graph(graph, nodes)


def _resolve_node(node: Node, given: Mapping[str, Attribute], values: Substitution) -> Node:
    if not _has_references(node):
        return values.node(node)
    attributes = {
        name: resolved
        for name, attribute in node.attributes.items()
        if (resolved := _resolve(attribute, given, values)) is not None
    }
    return values.copy(node, tuple(map(values.optional, node.inputs)), attributes)


def _has_references(node: Node) -> bool:
    if any(attribute.reference for attribute in node.attributes.values()):
        return True
    return any(_has_references(inner) for graph in node.graphs for inner in graph.nodes)


def _resolve(
    attribute: Attribute, given: Mapping[str, Attribute], values: Substitution
) -> Attribute | None:
    if attribute.reference:
        return given.get(attribute.reference)
    if attribute.kind == "graph":
        return replace(attribute, value=_resolve_graph(attribute.value, given, values))
    if attribute.kind == "graphs":
        graphs = tuple(_resolve_graph(graph, given, values) for graph in attribute.value)
        return replace(attribute, value=graphs)
    return attribute
