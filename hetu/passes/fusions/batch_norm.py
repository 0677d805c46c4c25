"""A convolution and the batch normalization after it: one convolution with other weights."""

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, output_of
from hetu.passes.facts import argument, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.affine import emit, moved, refusal


@fusion("BatchNormalization", inference_only=True)
def batch_norm(node: Node, site: Site) -> Outcome:
    """See the module."""
    parameters = node.inputs[1:]
    before = made_by(node.inputs[0], "Conv", "ConvTranspose")
    if before is None:
        return None
    if reason := _refusal(node, before, site):
        return reason
    nodes: list[Node] = []
    element = site.facts.dtype(before.inputs[1])
    epsilon = constant(np.array(argument(node, "epsilon"), element and element.numpy))
    scale, shift = _affine(nodes, parameters, epsilon)  # pyright: ignore[reportArgumentType]
    fresh = moved(nodes, before, scale, shift, node.outputs[0], site)
    outputs = (output_of(fresh), *(None for _ in node.outputs[1:]))
    return Replacement([*nodes, fresh], outputs, [before])


def _refusal(node: Node, before: Node, site: Site) -> str:
    if any(value is not None for value in node.outputs[1:]) and not _are_unused(node, site):
        return "its statistics are used"
    if "spatial" in node.attributes and not node.attributes["spatial"].value:
        return "it is not spatial"
    if any(value is not None and site.facts.rank(value) != 1 for value in node.inputs[1:]):
        return "its parameters are no vectors"
    return refusal(before, node.inputs[1:], site) or site.outside_use([before], [node])


def _are_unused(node: Node, site: Site) -> bool:
    return all(value is None or site.is_only_use(value, 0) for value in node.outputs[1:])


def _affine(nodes: list[Node], parameters: list[Value], epsilon: Value) -> tuple[Value, Value]:
    """Factor and summand that the normalization comes down to."""
    scale, shift, mean, variance = parameters
    spread = emit(nodes, "Add", variance, epsilon)
    factor = emit(nodes, "Div", scale, emit(nodes, "Sqrt", spread))
    return factor, emit(nodes, "Sub", shift, emit(nodes, "Mul", mean, factor))
