"""Drops constants that a conversion leaves without use."""

from dataclasses import replace

from hetu.ir import Graph, Value, nested_graphs


def without_unused(graph: Graph, original: Graph) -> Graph:
    """The graph without the initializers and Constant nodes that only the original uses."""
    used = _used(graph)
    dropped = {name for name in _used(original) if name not in used}
    if not dropped:
        return graph
    kept = tuple(v for v in graph.initializers if v not in dropped or v in graph.inputs)
    names = {value.name for value in dropped if value.name}
    nodes = tuple(
        node
        for node in graph.nodes
        if node.op_type != "Constant" or _is_needed(node.outputs[0], used, names)
    )
    return replace(graph, initializers=kept, nodes=nodes)


def _is_needed(value: Value | None, used: set[Value], dropped: set[str]) -> bool:
    return value is None or value in used or value.name not in dropped


def unused_outputs(graph: Graph) -> set[Value | None]:
    """The outputs of nodes that nothing needs."""
    made = {value for g in nested_graphs(graph) for node in g.nodes for value in node.outputs}
    return made - _used(graph) - {None}


def _used(graph: Graph) -> set[Value]:
    used: set[Value] = set()
    for inner in nested_graphs(graph):
        used.update(value for value in inner.outputs if value is not None)
        for node in inner.nodes:
            used.update(value for value in node.inputs if value is not None)
    return used
