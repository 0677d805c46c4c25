"""Leads gradients around the rounding of quantization."""

from hetu.ir import Graph, Node, Substitution, Value, add_outputs


def straight_through(graph: Graph) -> Graph:
    """The graph with a `StraightThrough` after each DequantizeLinear that undoes a QuantizeLinear.

    Quantized tensors are integers, which autograd does not follow. Pairs with another operator
    between them stay as they are.
    """
    values = Substitution()
    nodes = []
    for node in graph.nodes:
        fresh = values.node(node)
        nodes.append(fresh)
        quantizer = _quantizer(fresh)
        if quantizer is not None:
            nodes.append(_bridge(node, fresh, quantizer, values))
    return values.graph(graph, nodes)


def _quantizer(node: Node) -> Node | None:
    """The node whose output this one turns back into floats."""
    if (node.domain, node.op_type) != ("", "DequantizeLinear") or node.inputs[0] is None:
        return None
    source = node.inputs[0].node
    is_quantizer = source is not None and (source.domain, source.op_type) == ("", "QuantizeLinear")
    return source if is_quantizer else None


def _bridge(old: Node, fresh: Node, quantizer: Node, values: Substitution) -> Node:
    (before,), (output,) = old.outputs, fresh.outputs
    assert before is not None and output is not None
    attributes = {k: a for k, a in quantizer.attributes.items() if k != "saturate"}
    bridge = Node("StraightThrough", (output, *quantizer.inputs), attributes, domain="hetu")
    values[before] = Value(output.name, output.type, bridge)
    return add_outputs(bridge, [values[before]])
