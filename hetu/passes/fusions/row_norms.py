"""Normalizations over the last axis, by oneDNN's library."""

from math import prod

from hetu.ir import Node
from hetu.passes.build import make_fused
from hetu.passes.facts import argument, is_onnx
from hetu.passes.fusion import Outcome, Site, fusion, replaced
from hetu.passes.fusions.affine import is_given
from hetu.types import FLOAT32


@fusion("LayerNormalization", inference_only=True)
def row_layer_norm(node: Node, site: Site) -> Outcome:
    """A layer's normalization."""
    return _of_rows(node, site, "LayerNormalization", "LayerNorm")


@fusion("RMSNormalization", inference_only=True)
def row_rms_norm(node: Node, site: Site) -> Outcome:
    """A normalization by the root of the mean square."""
    return _of_rows(node, site, "RMSNormalization", "RMSNorm")


def _of_rows(node: Node, site: Site, op_type: str, fused: str) -> Outcome:
    shape = site.facts.shape(node.inputs[0]) if is_onnx(node, op_type) else None
    if not site.facts.has_library or not shape or is_given(node.inputs[0]):
        return None
    if argument(node, "axis") not in (-1, len(shape) - 1) or any(node.outputs[1:]):
        return "it is over several axes, or its statistics are wanted"
    given = [value for value in node.inputs if value is not None]
    if any(site.facts.dtype(value) is not FLOAT32 for value in given) or prod(shape) == 0:
        return "only float32 gains from it"
    if shape[-1] == 1:
        return "it is over one number at a time"
    if any(site.facts.shape(value) != shape[-1:] for value in given[1:]):
        return "its scale or its bias is repeated"
    epsilon = float(argument(node, "epsilon"))
    return replaced(node, make_fused(fused, given, node.outputs[0], {"epsilon": epsilon}))
