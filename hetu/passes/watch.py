"""Makes torch record what gradients are taken with respect to."""

from hetu.errors import UsageError, show
from hetu.ir import Attribute, Graph, Node, Substitution, Value, add_outputs, needed_nodes


def gradient_nodes(graph: Graph) -> list[Node]:
    """The nodes that take gradients."""
    return [node for node in graph.nodes if (node.domain, node.op_type) == ("hetu", "Gradient")]


def watched_values(graph: Graph) -> set[Value]:
    """What gradients are taken with respect to."""
    return {x for node in gradient_nodes(graph) for x in _variables(node)}


def watch(graph: Graph) -> Graph:
    """The graph with a `Watch` after every value that some gradient is taken with respect to.

    Gradients that others are taken of are told to record themselves, and what autograd recorded is
    kept for as long as there are several that may need it.
    """
    gradients = gradient_nodes(graph)
    watched = watched_values(graph)
    differentiated = set(needed_nodes(value for node in gradients for value in node.inputs))
    values = Substitution()
    nodes = []
    leaves = [value for value in (*graph.inputs, *graph.initializers) if value in watched]
    nodes += [_watch_node(value, value, values) for value in leaves]
    for node in graph.nodes:
        fresh = values.node(node)
        if node in gradients:
            options = {"create_graph": node in differentiated, "retain_graph": len(gradients) > 1}
            flags = {name: Attribute("int", int(flag)) for name, flag in options.items()}
            inputs = tuple(map(values.optional, node.inputs))
            fresh = values.copy(node, inputs, {**node.attributes, **flags})
        nodes.append(fresh)
        for old, new in zip(node.outputs, fresh.outputs, strict=True):
            if old in watched and old is not None and new is not None:
                nodes.append(_watch_node(old, new, values))
    return values.graph(graph, nodes)


def _variables(node: Node) -> tuple[Value, ...]:
    count = node.attributes["count"].value
    return tuple(value for value in node.inputs[count:] if value is not None)


def _watch_node(old: Value, value: Value, values: Substitution) -> Node:
    if value.dtype is not None and not value.dtype.is_float:
        raise UsageError(f"gradient with respect to {show(value.name)}: {value.dtype} has none")
    node = Node("Watch", (value,), domain="hetu")
    output = Value(value.name, value.type, node)
    values[old] = output
    return add_outputs(node, [output])
