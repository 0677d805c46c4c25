"""All slices of a value, put together in another order: gates of recurrent layers, rolls."""

from collections.abc import Sequence

from hetu.ir import Node
from hetu.passes.build import make_fused
from hetu.passes.facts import argument, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.spans import span_of


@fusion("Concat")
def reordered(node: Node, site: Site) -> Outcome:
    """In training: the derivative of a split is one copy, that of each slice fills a tensor."""
    if site.facts.is_inference or not is_onnx(node, "Concat"):
        return None
    parts = [made_by(value, "Slice") for value in node.inputs]
    slices = [part for part in parts if part is not None]
    if len(slices) < max(2, len(parts)):
        return None
    source = slices[0].inputs[0]
    shape = site.facts.shape(source)
    if not shape or any(part.inputs[0] is not source for part in slices):
        return None
    axis = argument(node, "axis") % len(shape)
    found = (span_of(part, shape) for part in slices)
    spans = [span[1:] for span in found if span is not None and span.axis == axis]
    in_order = sorted(spans)
    if len(spans) < len(slices) or not _are_all(in_order, shape[axis]):
        return None
    if reason := site.outside_use(slices, [node]):
        return reason
    sizes = tuple(end - start for start, end in in_order)
    given = {"axis": axis, "sizes": sizes, "order": tuple(map(in_order.index, spans))}
    fresh = make_fused("Reorder", [source], node.outputs[0], given)
    return Replacement([fresh], fresh.outputs, slices)


def _are_all(spans: Sequence[tuple[int, int]], size: int) -> bool:
    """Whether spans, in order, are a whole axis, each element once."""
    starts, ends = zip(*spans, strict=True)
    return (*starts, size) == (0, *ends) and all(start < end for start, end in spans)
