"""Makes torch record what gradients are taken with respect to."""

from collections.abc import Iterator
from typing import NamedTuple

from hetu.errors import UsageError, show
from hetu.ir import (
    Attribute,
    Graph,
    Node,
    Substitution,
    Value,
    add_outputs,
    needed_nodes,
    nested_graphs,
    with_graphs,
)


def gradient_nodes(graph: Graph) -> list[Node]:
    """The nodes that take gradients, in the graphs inside this one too."""
    nodes = (node for inner in nested_graphs(graph) for node in inner.nodes)
    return [node for node in nodes if (node.domain, node.op_type) == ("hetu", "Gradient")]


class GradientParts(NamedTuple):
    """What a node differentiates, with respect to what, and what it starts from."""

    results: tuple[Value, ...]
    variables: tuple[Value, ...]
    seeds: tuple[Value, ...]


def gradient_parts(node: Node) -> GradientParts:
    """The inputs of a node that takes gradients; none of them is missing."""
    count: int = node.attributes["count"].value
    is_seeded = "seeded" in node.attributes and bool(node.attributes["seeded"].value)
    given = tuple(value for value in node.inputs if value is not None)
    end = len(given) - count if is_seeded else len(given)
    return GradientParts(given[:count], given[count:end], given[end:])


def watched_values(graph: Graph) -> set[Value]:
    """What gradients are taken with respect to."""
    return {x for node in gradient_nodes(graph) for x in gradient_parts(node).variables}


def derivatives(graph: Graph) -> int:
    """How often what a graph computes is differentiated at most; 2 stands for more, too."""
    gradients = set(gradient_nodes(graph))
    if not gradients:
        return 0
    behind = set(needed_nodes(v for node in gradients for v in node.inputs))
    return min(len(gradients), 2 if gradients & behind else 1)


def watch(graph: Graph, is_differentiated: bool = False) -> Graph:
    """The graph with a `Watch` after every value that some gradient is taken with respect to.

    Gradients that others are taken of, all where `is_differentiated` says that the graph itself is,
    are told to record themselves, and what autograd recorded is kept for as long as there are
    several that may need it.
    """
    if not is_differentiated and not gradient_nodes(graph):
        return graph
    watcher = _Watcher(graph, is_differentiated)
    return watcher.graph(graph, graph.initializers, is_differentiated)


class _Watcher:
    """Walks through a graph; bodies may run several times, so they keep what was recorded."""

    def __init__(self, graph: Graph, is_differentiated: bool) -> None:
        self._gradients = set(gradient_nodes(graph))
        self._watched = watched_values(graph)
        self._differentiated = set(needed_nodes(v for n in self._gradients for v in n.inputs))
        is_alone = len(self._gradients) == 1 and self._gradients <= set(graph.nodes)
        self._retains = is_differentiated or not is_alone
        self._values = Substitution()

    def graph(
        self, graph: Graph, variables: tuple[Value, ...] = (), is_differentiated: bool = False
    ) -> Graph:
        """The copy of a graph; a body's own variables live in the outermost graph."""
        leaves = [value for value in (*graph.inputs, *variables) if value in self._watched]
        nodes = [_watch_node(value, value, self._values) for value in leaves]
        for node in graph.nodes:
            nodes += self._node(node, is_differentiated or node in self._differentiated)
        return self._values.graph(graph, nodes)

    def _node(self, node: Node, is_differentiated: bool) -> Iterator[Node]:
        fresh = self._copied(node, is_differentiated)
        yield fresh
        for old, new in zip(node.outputs, fresh.outputs, strict=True):
            if old in self._watched and old is not None and new is not None:
                yield _watch_node(old, new, self._values)

    def _copied(self, node: Node, is_differentiated: bool) -> Node:
        inputs = tuple(map(self._values.optional, node.inputs))
        if node in self._gradients:
            options = {"create_graph": is_differentiated, "retain_graph": self._retains}
            flags = {name: Attribute("int", int(flag)) for name, flag in options.items()}
            return self._values.copy(node, inputs, {**node.attributes, **flags})
        if not node.has_graphs:
            return self._values.node(node)
        attributes = with_graphs(node.attributes, lambda g: self.graph(g, (), is_differentiated))
        return self._values.copy(node, inputs, attributes)


def _watch_node(old: Value, value: Value, values: Substitution) -> Node:
    if value.dtype is not None and not value.dtype.is_float:
        raise UsageError(f"gradient with respect to {show(value.name)}: {value.dtype} has none")
    node = Node("Watch", (value,), domain="hetu")
    output = Value(value.name, value.type, node)
    values[old] = output
    return add_outputs(node, [output])
