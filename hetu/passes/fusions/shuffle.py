"""Channels of several groups, put together in turn, as ShuffleNet's exporters spell it out."""

from hetu.ir import Node
from hetu.passes.build import make_fused
from hetu.passes.facts import is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.simplify import permutation
from hetu.types import FLOAT32


@fusion("Reshape")
def channel_shuffle(node: Node, site: Site) -> Outcome:
    """Groups of channels as an axis of their own, which changes places with that in the groups."""
    if not is_onnx(node, "Reshape") or site.facts.dtype(node.outputs[0]) is not FLOAT32:
        return None
    exchange = made_by(node.inputs[0], "Transpose")
    split = made_by(exchange.inputs[0], "Reshape") if exchange is not None else None
    if exchange is None or split is None:
        return None
    image, parts = site.facts.shape(split.inputs[0]), site.facts.shape(split.outputs[0])
    if image is None or parts is None or len(image) != 4 or 0 in image:
        return None
    groups = parts[1] if len(parts) == 5 else 0
    if not groups or parts != (image[0], groups, image[1] // groups, *image[2:]):
        return None
    if permutation(exchange, site) != (0, 2, 1, 3, 4):
        return None
    if site.facts.shape(node.outputs[0]) != image:
        return None
    covered = [split, exchange]
    if reason := site.outside_use(covered, [exchange, node]):
        return reason
    fresh = make_fused("ShuffleChannels", split.inputs[:1], node.outputs[0], {"groups": groups})
    return Replacement([fresh], fresh.outputs, covered)
