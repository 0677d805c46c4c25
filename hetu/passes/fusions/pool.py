"""Pools of images, and of sequences as images of one row, by oneDNN's library."""

from dataclasses import replace

from hetu.ir import Node
from hetu.ops.windows import Windows
from hetu.passes.build import make_fused
from hetu.passes.facts import argument, is_onnx
from hetu.passes.fusion import Outcome, Site, fusion, replaced
from hetu.passes.windows import placed_windows
from hetu.types import FLOAT32


@fusion("MaxPool", "AveragePool", inference_only=True)
def pool(node: Node, site: Site) -> Outcome:
    """A pool of images of known sizes."""
    return _pooled(node, site, "Pool")


@fusion("AveragePool")
def trained_average(node: Node, site: Site) -> Outcome:
    """Averages that train."""
    if site.facts.is_inference or site.facts.derivatives > 1:
        return None
    return _pooled(node, site, "TrainedAverage")


def _pooled(node: Node, site: Site, op_type: str) -> Outcome:
    x, shape = node.inputs[0], site.facts.shape(node.inputs[0])
    if not is_onnx(node, "MaxPool", "AveragePool") or not site.facts.has_library or shape is None:
        return None
    if len(shape) not in (3, 4, 5) or site.facts.dtype(x) is not FLOAT32 or 0 in shape:
        return "only images and sequences of float32 gain from it"
    if len(node.outputs) != 1:
        return "it says where its maxima lie"
    placed = placed_windows(node, argument(node, "kernel_shape"), shape)
    assert placed is not None  # its sizes are known
    counts = placed.counts(bool(argument(node, "ceil_mode")))
    if 0 in counts or max(placed.dilations) > 1:
        return "its windows have gaps or there are none"
    end = tuple(max(0, pad) for pad in placed.fitted(counts).end)
    kind = _kind(node, placed)
    if kind == "average with padding" and any(a > b for a, b in zip(end, placed.end, strict=True)):
        return "some of its windows reach beyond the padding"
    placed = replace(placed, end=end)
    placed = placed.as_rows() if placed.rank == 1 else placed
    given = {
        "kind": kind, "kernel": placed.kernel, "strides": placed.strides,
        "pads": (*placed.begin, *placed.end),
    }  # fmt: skip
    return replaced(node, make_fused(op_type, [x], node.outputs[0], given))


@fusion("GlobalAveragePool", "ReduceMean", inference_only=True)
def global_average(node: Node, site: Site) -> Outcome:
    """The average of each channel of an image."""
    x = node.inputs[0] if node.inputs else None
    shape = site.facts.shape(x)
    if (
        not is_onnx(node, "GlobalAveragePool", "ReduceMean")
        or not site.facts.has_library
        or shape is None
    ):
        return None
    fewest = 3 if node.op_type == "GlobalAveragePool" else 4  # other means of rows stay
    if not fewest <= len(shape) <= 5 or site.facts.dtype(x) is not FLOAT32 or 0 in shape:
        return None
    ones, result = (1,) * (len(shape) - 2), site.facts.shape(node.outputs[0])
    if result != (*shape[:2], *ones):
        return None
    sizes, steps = ((1, *shape[2:]), (1, 1)) if len(shape) == 3 else (shape[2:], ones)
    given = {"kind": "average", "kernel": sizes, "strides": steps, "pads": (0, 0) * len(steps)}
    return replaced(node, make_fused("Pool", [x], node.outputs[0], given))


def _kind(node: Node, placed: Windows) -> str:
    if node.op_type == "MaxPool":
        return "maximum"
    counts_padding = bool(argument(node, "count_include_pad")) and any((*placed.begin, *placed.end))
    return "average with padding" if counts_padding else "average"
