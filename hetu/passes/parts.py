"""Takes parts of one value along an axis all at once: steps of unrolled layers, heads, gates.

The derivative of a split puts its parts together; that of each slice fills a tensor of the whole
size, and all of these are added up.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import pairwise

from hetu.ir import Graph, Node, Substitution, Value, describe
from hetu.passes.build import make_fused, make_with, output_of
from hetu.passes.facts import Facts, is_fused, is_onnx
from hetu.passes.fusion import Note
from hetu.passes.groups import replace_groups
from hetu.passes.spans import Span, span_of
from hetu.types import TensorType

_Spans = Mapping[Node, Span]
"""What nodes take of their input."""


def parts(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with one `Split` in the place of nodes that take parts without a common element.

    It comes where the first of them was.
    """
    groups: dict[tuple[Value, int], list[Node]] = {}
    spans: dict[Node, Span] = {}
    for node in graph.nodes:
        source, span = _taken(node, facts)
        if source is not None and span is not None:
            groups.setdefault((source, span.axis), []).append(node)
            spans[node] = span
    apart = [nodes for nodes in groups.values() if _are_apart({spans[node] for node in nodes})]
    if not apart:
        return graph, []
    join = partial(_split, spans=spans, facts=facts)
    notes = [Note("parts", describe(nodes[0])) for nodes in apart]
    return replace_groups(graph, apart, join, facts), notes


def _taken(node: Node, facts: Facts) -> tuple[Value | None, Span | None]:
    """What a node takes a part of, and the part; None where that is not known to be its work."""
    is_single = is_fused(node, "Select")
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


def _are_apart(spans: Collection[Span]) -> bool:
    """Whether there are several spans, each with elements, none of them in two."""
    return (
        len(spans) > 1
        and all(span.start < span.end for span in spans)
        and all(one.end <= other.start for one, other in pairwise(sorted(spans)))
    )


def _split(
    nodes: Sequence[Node], values: Substitution, spans: _Spans, facts: Facts
) -> Sequence[Node]:
    """The split, and what takes single positions out of its parts."""
    source, axis = nodes[0].inputs[0], spans[nodes[0]].axis
    shape = facts.shape(source) or ()
    bounds = sorted({0, shape[axis], *(n for node in nodes for n in spans[node][1:])})
    whole = [Span(axis, *pair) for pair in pairwise(bounds)]
    users: dict[Span, list[Node]] = {span: [] for span in whole}
    for node in nodes:
        users[spans[node]].append(node)
    likes = [output_of(users[span][0]) if users[span] else None for span in whole]
    attributes = {"axis": axis, "split": tuple(span.end - span.start for span in whole)}
    given = [values.optional(source)]
    split = make_with("Split", given, likes, attributes, domain="", version=2)
    made = [split]
    for span, part in zip(whole, split.outputs, strict=True):
        assert part is not None
        facts.state(part, TensorType(facts.dtype(source), _sized(shape, span)))
        for node in users[span]:
            old = output_of(node)
            if is_fused(node, "Select"):
                made.append(make_fused("Select", [part], old, {"axis": axis, "index": 0}))
            values[old] = output_of(made[-1]) if is_fused(node, "Select") else part
            facts.carry(old, values[old])
    return made


def _sized(shape: Sequence[int], span: Span) -> tuple[int, ...]:
    return (*shape[: span.axis], span.end - span.start, *shape[span.axis + 1 :])
