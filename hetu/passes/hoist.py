"""Takes what depends on weights alone out of the graph, to be computed once per change of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hetu.ir import Graph, Node, Value, dependencies
from hetu.ops.registry import find
from hetu.passes.prune import prune


@dataclass(frozen=True, slots=True)
class Hoisted:
    """`graph` takes `values` as further inputs, which `nodes` compute from variables alone."""

    graph: Graph
    nodes: tuple[Node, ...] = ()
    values: tuple[Value, ...] = ()


def hoist(graph: Graph, is_worth_it: Callable[[Node], bool]) -> Hoisted:
    """The graph without the nodes that depend on variables and constants alone.

    `is_worth_it` is asked of each such node, after those that it depends on.
    """
    ready: set[Value] = set(graph.initializers)
    nodes, kept = [], []
    for node in graph.nodes:
        if _is_static(node, ready) and is_worth_it(node):
            nodes.append(node)
            ready.update(value for value in node.outputs if value is not None)
        else:
            kept.append(node)
    made = {value for node in nodes for value in node.outputs if value is not None}
    used = [value for node in kept for value in dependencies(node) if value in made]
    used += [value for value in graph.outputs if value in made]
    values = tuple(dict.fromkeys(value for value in used if value is not None))
    rest = replace(graph, inputs=(*graph.inputs, *values), nodes=tuple(kept))
    needed = prune(replace(graph, nodes=tuple(nodes), outputs=values)).nodes
    return Hoisted(rest, needed, values)


def _is_static(node: Node, ready: set[Value]) -> bool:
    given = dependencies(node)
    if not given or not all(value.constant or value in ready for value in given):
        return False
    if node.function is not None or node.has_graphs:
        return False
    kernel = find(node.domain, node.op_type, node.version)
    return kernel is not None and kernel.is_pure
