"""Convolutions of single pixels with those of each channel after them, in one step.

Networks for small devices are built so, with their largest tensors in between.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from hetu.ir import Graph, Node, Substitution, Value, dependencies, describe
from hetu.ops.fused.convolution import LIKE_SHAPE
from hetu.ops.native import DepthwisePair, suits_depthwise
from hetu.passes.build import Given, make_fused, make_with, output_of
from hetu.passes.convolutions import activation_of, packing_of
from hetu.passes.facts import Facts
from hetu.passes.fusion import Note
from hetu.passes.groups import replace_groups
from hetu.passes.prune import prune


def depthwise(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with one node for two where oneDNN's library has a way of its own for both."""
    if not (facts.is_inference and facts.has_library and facts.copies_weights):
        return graph, []
    seconds = [node for node in graph.nodes if _fits(node, facts)]
    if not seconds:
        return graph, []
    uses = Counter(chain.from_iterable(map(dependencies, graph.nodes)))
    uses.update(value for value in graph.outputs if value is not None)
    groups = [
        (second, first)
        for second in seconds
        if (first := _producer(second)) is not None and uses[output_of(first)] == 1
    ]
    if not groups:
        return graph, []

    def join(nodes: Sequence[Node], values: Substitution) -> Sequence[Node]:
        return _joined(nodes[0], nodes[1], values, facts)

    notes = [Note("depthwise", describe(second)) for second, _ in groups]
    return prune(replace_groups(graph, groups, join, facts)), notes


def _producer(node: Node) -> Node | None:
    x = node.inputs[0] if node.inputs else None
    return x.node if x is not None else None


def _fits(second: Node, facts: Facts) -> bool:
    """Whether a node convolves each channel of what another has made of single pixels."""
    first = _producer(second) if packing_of(second) is not None else None
    if first is None or packing_of(first) is None:
        return False
    shape = facts.shape(first.inputs[0])
    weights = [_weight_shape(node, facts) for node in (first, second)]
    if shape is None or len(shape) != 4 or not all(map(_adds_nothing, (first, second))):
        return False
    channels = weights[0][0] if weights[0] else 0
    if weights != [(channels, shape[1], 1, 1), (channels, 1, 3, 3)]:
        return False
    stride = _stride(second)
    plain = {"pads": (0,) * 4, "strides": (1, 1), "dilations": (1, 1), "group": 1}
    padded = {**plain, "pads": (1,) * 4, "strides": (stride,) * 2, "group": channels}
    if not _has(first, plain) or not _has(second, padded) or stride > 2:
        return False
    return suits_depthwise(shape, channels, _pair(first, second))


def _weight_shape(node: Node, facts: Facts) -> tuple[int, ...] | None:
    packing = packing_of(node)
    return None if packing is None else facts.shape(packing.inputs[0])


def _adds_nothing(node: Node) -> bool:
    """Whether a fused convolution adds no more than a bias."""
    return (*node.inputs, None, None)[3] is None


def _bias(node: Node) -> Value | None:
    return (*node.inputs, None)[2]


def _has(node: Node, wanted: Given) -> bool:
    values = {name: node.attributes[name].value for name in wanted}
    return all(
        tuple(value) == wanted[name] if isinstance(value, list | tuple) else value == wanted[name]
        for name, value in values.items()
    )


def _stride(node: Node) -> int:
    return node.attributes["strides"].value[0]


def _pair(first: Node, second: Node) -> DepthwisePair:
    activations = [
        (a["activation"].value, tuple(a["numbers"].value) if "numbers" in a else ())
        if (a := activation_of(node))
        else ("", ())
        for node in (first, second)
    ]
    return DepthwisePair(_stride(second), _biased(first, second), *activations)


def _biased(first: Node, second: Node) -> tuple[bool, bool]:
    return _bias(first) is not None, _bias(second) is not None


def _joined(second: Node, first: Node, values: Substitution, facts: Facts) -> list[Node]:
    packings = packing_of(first), packing_of(second)
    weights = [values.optional(p.inputs[0]) for p in packings if p is not None]
    settings = {
        "stride": _stride(second),
        **activation_of(first),
        **{f"last_{name}": value for name, value in activation_of(second).items()},
    }
    biased = tuple(map(int, _biased(first, second)))
    layout = {LIKE_SHAPE: facts.shape(first.inputs[0]), "biased": biased, **settings}
    packing = make_with("PackPointwiseDepthwise", weights, [None, None], layout)
    packed = packing.outputs
    x, biases = first.inputs[0], [values.optional(_bias(node)) for node in (first, second)]
    inputs = [values.optional(x), packed[0], biases[0], packed[1], biases[1]]
    fresh = make_fused("PointwiseDepthwise", inputs, second.outputs[0], settings)
    values[output_of(second)] = output_of(facts.follow(second, fresh))
    return [packing, fresh]
