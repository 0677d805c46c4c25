"""Leaves out what no output needs."""

from dataclasses import replace

from hetu.ir import Graph, dependencies


def prune(graph: Graph) -> Graph:
    """The graph without the nodes that none of its outputs needs; the others keep their order."""
    needed = {value for value in graph.outputs if value is not None}
    kept = []
    for node in reversed(graph.nodes):
        if any(value in needed for value in node.outputs):
            kept.append(node)
            needed.update(dependencies(node))
    return graph if len(kept) == len(graph.nodes) else replace(graph, nodes=tuple(reversed(kept)))
