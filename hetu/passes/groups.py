"""Puts groups of nodes of one graph together, each where its first node was."""

from collections.abc import Callable, Sequence

from hetu.ir import Graph, Node, Substitution
from hetu.passes.facts import Facts

Join = Callable[[Sequence[Node], Substitution], Sequence[Node]]
"""What stands for a group's nodes; it notes the values that take the place of theirs."""


def replace_groups(
    graph: Graph, groups: Sequence[Sequence[Node]], join: Join, facts: Facts
) -> Graph:
    """The graph with what `join` makes of each group."""
    firsts = {nodes[0]: nodes for nodes in groups}
    gone = {node for nodes in groups for node in nodes}
    values, kept = Substitution(), []
    for node in graph.nodes:
        if node in firsts:
            kept += join(firsts[node], values)
        elif node not in gone:
            kept.append(facts.follow(node, values.node(node)))
    return values.graph(graph, kept)
