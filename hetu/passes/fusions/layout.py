"""Convolutions that train work on images whose channels lie side by side.

What follows them keeps this order, so that one conversion serves a whole region.
"""

from hetu.ir import Node
from hetu.ops.registry import FUSED
from hetu.passes.build import make, make_fused, output_of
from hetu.passes.facts import is_onnx
from hetu.passes.fusion import Outcome, Replacement, Site, fusion


@fusion("Conv")
def channels_last(node: Node, site: Site) -> Outcome:
    """The input of a convolution, in that order."""
    x = node.inputs[0]
    if site.facts.is_inference or not is_onnx(node, "Conv") or x is None:
        return None
    if site.facts.rank(x) != 4 or (x.node is not None and x.node.domain == FUSED):
        return None
    ordered = make_fused("ChannelsLast", [x], x)
    inputs = (output_of(ordered), *node.inputs[1:])
    fresh = make("Conv", inputs, node.outputs[0], node.attributes, version=node.version)
    return Replacement([ordered, fresh], fresh.outputs)
