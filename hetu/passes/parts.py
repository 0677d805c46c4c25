"""Takes parts of one value along an axis all at once: steps of unrolled layers, heads, gates.

The derivative of a split puts its parts together; that of each slice fills a tensor of the whole
size, and all of these are added up.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hetu.ir import Graph, Node, Substitution, Value, describe
from hetu.ops.registry import FUSED
from hetu.passes.build import make_fused, make_with, output_of
from hetu.passes.facts import Facts, is_onnx
from hetu.passes.fusion import Note
from hetu.passes.spans import Span, span_of
from hetu.types import TensorType

_Group = Mapping[Span, Sequence[Node]]
"""The nodes that take parts of a value along an axis, by what they take."""


def parts(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with one `Split` in the place of nodes that take parts without a common element.

    It comes where the first of them was.
    """
    groups: dict[tuple[Value, int], dict[Span, list[Node]]] = {}
    for node in graph.nodes:
        source, span = _taken(node, facts)
        if source is not None and span is not None:
            groups.setdefault((source, span.axis), {}).setdefault(span, []).append(node)
    apart = [group for group in groups.values() if _are_apart(group)]
    if not apart:
        return graph, []
    firsts = {next(iter(group.values()))[0]: group for group in apart}
    taken = {node for group in apart for nodes in group.values() for node in nodes}
    values, kept = Substitution(), []
    for node in graph.nodes:
        if node in firsts:
            kept += _split(firsts[node], values, facts)
        elif node not in taken:
            kept.append(values.node(node))
    return values.graph(graph, kept), [Note("parts", describe(node)) for node in firsts]


def _taken(node: Node, facts: Facts) -> tuple[Value | None, Span | None]:
    """What a node takes a part of, and the part; None where that is not known to be its work."""
    is_single = (node.domain, node.op_type) == (FUSED, "Select")
    if not is_single and not is_onnx(node, "Slice"):
        return None, None
    source = node.inputs[0]
    shape = facts.shape(source)
    if not shape or facts.shape(node.outputs[0]) is None:
        return None, None
    if not is_single:
        return source, span_of(node, shape)
    axis = node.attributes["axis"].value % len(shape)
    start = node.attributes["index"].value % shape[axis]
    return source, Span(axis, start, start + 1)


def _are_apart(group: _Group) -> bool:
    """Whether there are several spans, each with elements, none of them in two."""
    spans = sorted(group)
    neighbours = pairwise(spans)
    return (
        len(spans) > 1
        and all(span.start < span.end for span in spans)
        and all(one.end <= other.start for one, other in neighbours)
    )


def _split(group: _Group, values: Substitution, facts: Facts) -> Sequence[Node]:
    """The split, and what takes single positions out of its parts."""
    (first, *_), (axis, *_) = next(iter(group.values())), next(iter(group))
    spans, shape = sorted(group), facts.shape(first.inputs[0]) or ()
    bounds = sorted({0, shape[axis], *(n for span in spans for n in (span.start, span.end))})
    whole = [Span(axis, *pair) for pair in pairwise(bounds)]
    likes = [output_of(group[span][0]) if span in group else None for span in whole]
    sizes = tuple(span.end - span.start for span in whole)
    source = values.optional(first.inputs[0])
    attributes = {"axis": axis, "split": sizes}
    split = make_with("Split", [source], likes, attributes, domain="", version=2)
    nodes = [split]
    for span, part in zip(whole, split.outputs, strict=True):
        assert part is not None
        known = TensorType(facts.dtype(first.inputs[0]), _sized(shape, span))
        facts.state(part, known)
        for node in group.get(span, ()):
            old = output_of(node)
            if node.domain == FUSED:
                nodes.append(make_fused("Select", [part], old, {"axis": axis, "index": 0}))
            values[old] = output_of(nodes[-1]) if node.domain == FUSED else part
            facts.carry(old, values[old])
    return nodes


def _sized(shape: Sequence[int], span: Span) -> tuple[int, ...]:
    return (*shape[: span.axis], span.end - span.start, *shape[span.axis + 1 :])
