"""Moves nodes to another version of their operators where both versions mean the same."""

from dataclasses import replace

from hetu.ir import Graph, Node, Substitution, add_outputs, nested_graphs, next_serial
from hetu.ops.registry import find


def different_nodes(graph: Graph, domain: str, version: int) -> list[Node]:
    """The nodes of a domain that would mean something else in `version`, by their kernels."""
    return [
        node
        for inner in nested_graphs(graph)
        for node in inner.nodes
        if node.domain == domain
        and node.function is None
        and find(domain, node.op_type, node.version) is not find(domain, node.op_type, version)
    ]


def restamp(graph: Graph, domain: str, version: int) -> Graph:
    """The graph with every node of a domain at `version`; none may be among `different_nodes`."""
    return _restamp(graph, domain, version, Substitution())


def _restamp(graph: Graph, domain: str, version: int, values: Substitution) -> Graph:
    nodes = [_restamp_node(node, domain, version, values) for node in graph.nodes]
    return values.graph(graph, nodes)


def _restamp_node(node: Node, domain: str, version: int, values: Substitution) -> Node:
    attributes = {
        name: replace(a, value=_restamp(a.value, domain, version, values))
        if a.kind == "graph"
        else a
        for name, a in node.attributes.items()
    }
    if node.domain == domain and node.version != version:
        node = _at_version(node, version, values)
    elif attributes.keys() == node.attributes.keys() and not any(node.graphs):
        return values.node(node)
    return values.copy(node, tuple(map(values.optional, node.inputs)), attributes)


def _at_version(node: Node, version: int, values: Substitution) -> Node:
    stamped = replace(node, version=version, serial=next_serial())
    return add_outputs(stamped, node.outputs)
