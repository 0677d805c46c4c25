"""Joins products of one input with several weights into one product with all of them."""

from collections.abc import Sequence

from hetu.ir import Attribute, Graph, Node, Substitution, Value, add_outputs, describe
from hetu.ops.registry import FUSED
from hetu.passes.build import make, make_fused, output_of
from hetu.passes.facts import Facts
from hetu.passes.fusion import Note
from hetu.passes.prune import prune

_Key = tuple[object, ...]


def merge(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with one `Linear` in the place of several that differ in weight and bias alone.

    It comes where the first of them was; the results are parts of its result.
    """
    groups: dict[_Key, list[Node]] = {}
    for node in graph.nodes:
        key = _key(node, facts)
        if key is not None:
            groups.setdefault(key, []).append(node)
    firsts = {nodes[0]: nodes for nodes in groups.values() if len(nodes) > 1}
    if not firsts or not facts.is_inference:
        return graph, []
    merged = {node for nodes in firsts.values() for node in nodes}
    values, kept = Substitution(), []
    for node in graph.nodes:
        if node in firsts:
            kept += _joined(firsts[node], values, facts)
        elif node not in merged:
            kept.append(values.node(node))
    notes = [Note("merge", describe(node)) for node in firsts]
    return prune(values.graph(graph, kept)), notes


def _key(node: Node, facts: Facts) -> _Key | None:
    """What products have in common that can be joined."""
    if (node.domain, node.op_type) != (FUSED, "Linear"):
        return None
    x, packed, bias = node.inputs
    packing = packed.node if packed is not None else None
    if packing is None or packing.inputs[0] is None or packing.inputs[0].data is None:
        return None
    if bias is not None and bias.data is None:
        return None
    settings = (node.attributes, packing.attributes)
    return x, bias is None, *(tuple(sorted((n, a.value) for n, a in s.items())) for s in settings)


def _joined(products: Sequence[Node], values: Substitution, facts: Facts) -> list[Node]:
    packings = [node.inputs[1].node for node in products if node.inputs[1] is not None]
    weights = [node.inputs[0] for node in packings if node is not None and node.inputs[0]]
    first = packings[0]
    assert first is not None
    axis = 0 if first.attributes["transposed"].value else 1
    nodes = [make("Concat", weights, None, {"axis": axis})]
    packed = make_fused("PackLinear", [output_of(nodes[0])], None, first.attributes)
    biases = [node.inputs[2] for node in products]
    bias = None
    if biases[0] is not None:
        nodes.append(make("Concat", biases, None, {"axis": 0}))
        bias = output_of(nodes[-1])
    x = values.optional(products[0].inputs[0])
    product = make_fused("Linear", [x, output_of(packed), bias], None, products[0].attributes)
    sizes = tuple((facts.shape(weight) or (0, 0))[axis] for weight in weights)
    return [*nodes, packed, product, _split(output_of(product), sizes, products, values, facts)]


def _split(
    whole: Value,
    sizes: tuple[int, ...],
    products: Sequence[Node],
    values: Substitution,
    facts: Facts,
) -> Node:
    attributes = {"axis": Attribute("int", -1), "split": Attribute("ints", sizes)}
    split = Node("Split", (whole,), attributes, version=2)
    outputs = []
    for index, node in enumerate(products):
        old = output_of(node)
        values[old] = facts.state(Value(old.name, old.type, split, index), facts.type(old))
        outputs.append(values[old])
    return add_outputs(split, outputs)
