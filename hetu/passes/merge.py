"""Joins products of one input with several weights into one product with all of them."""

from collections.abc import Sequence
from functools import partial

from hetu.ir import Graph, Node, Substitution, Value, describe
from hetu.passes.build import make_fused, make_with, output_of
from hetu.passes.facts import Facts, is_fused
from hetu.passes.fusion import Note
from hetu.passes.groups import replace_groups
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
    joined = [nodes for nodes in groups.values() if len(nodes) > 1]
    if not joined or not facts.is_inference:
        return graph, []
    merged = replace_groups(graph, joined, partial(_joined, facts=facts), facts)
    return prune(merged), [Note("merge", describe(nodes[0])) for nodes in joined]


def _key(node: Node, facts: Facts) -> _Key | None:
    """What products have in common that can be joined."""
    if not is_fused(node, "Linear"):
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
    nodes = [make_fused("JoinWeights", weights, None, {"axis": axis})]
    packed = make_fused("PackLinear", [output_of(nodes[0])], None, first.attributes)
    biases = [node.inputs[2] for node in products]
    bias = None
    if biases[0] is not None:
        nodes.append(make_fused("JoinWeights", biases, None, {"axis": 0}))
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
    attributes = {"axis": -1, "split": sizes}
    olds = [output_of(node) for node in products]
    split = make_with("Split", [whole], olds, attributes, domain="", version=2)
    for old, new in zip(olds, split.outputs, strict=True):
        assert new is not None
        values[old] = facts.state(new, facts.type(old))
    return split
