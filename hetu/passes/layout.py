"""Trains convolutional networks on images whose channels lie side by side, where that is faster."""

from collections.abc import Sequence

from hetu.ir import Graph, Node, Substitution, describe
from hetu.ops.native import has_wide_products
from hetu.passes.build import make_fused, output_of
from hetu.passes.facts import Facts, argument, is_onnx
from hetu.passes.fusion import Note

_REASON = "most convolutions are no faster so"


def channels_last(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with the images before its convolutions in this order, which what follows keeps.

    Convolutions of single pixels are products of matrices in that order, and those by groups read
    their channels together. Others gain on processors with wide vectors, and lose on one channel.
    """
    nodes = dict.fromkeys(node for node in graph.nodes if _is_of_images(node, facts))
    if facts.is_inference or not nodes:
        return graph, []
    if 2 * sum(_gain(node, facts) for node in nodes) < len(nodes):
        return graph, [Note("channels last", describe(node), _REASON) for node in nodes]
    values = Substitution()
    kept = [
        new
        for node in graph.nodes
        for new in (_ordered(node, values, facts) if node in nodes else [values.node(node)])
    ]
    return values.graph(graph, kept), [Note("channels last", describe(node)) for node in nodes]


def _is_of_images(node: Node, facts: Facts) -> bool:
    return is_onnx(node, "Conv") and facts.rank(node.inputs[0]) == 4


def _gain(node: Node, facts: Facts) -> int:
    """1 for a convolution that is faster so, -1 for one that is slower."""
    channels, *window = (facts.shape(node.inputs[1]) or (0, 0))[1:]
    if argument(node, "group") > 1 or window == [1, 1]:
        return 1
    return -1 if channels == 1 else int(has_wide_products())


def _ordered(node: Node, values: Substitution, facts: Facts) -> Sequence[Node]:
    """A convolution after the node that brings its input into the order."""
    x, *weights = map(values.optional, node.inputs)
    ordered = make_fused("ChannelsLast", [x], x)
    inputs = (output_of(ordered), *weights)
    fresh = values.copy(node, inputs, node.attributes)
    return ordered, facts.follow(node, fresh)
