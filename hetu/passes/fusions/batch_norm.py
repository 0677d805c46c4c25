"""A convolution and the batch normalization after it: one convolution with other weights."""

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, output_of
from hetu.passes.facts import argument, is_onnx
from hetu.passes.fusion import Outcome, Replacement, Site, fusion


@fusion("BatchNormalization", inference_only=True)
def batch_norm(node: Node, site: Site) -> Outcome:
    """See the module."""
    x, parameters = node.inputs[0], node.inputs[1:]
    before = x.node if x is not None else None
    if before is None or not is_onnx(before, "Conv", "ConvTranspose"):
        return None
    if reason := _refusal(node, before, site):
        return reason
    nodes: list[Node] = []
    weight, bias = before.inputs[1], (*before.inputs, None)[2]
    assert weight is not None
    rank = site.facts.rank(weight) or 0
    element = site.facts.dtype(weight)
    epsilon = constant(np.array(argument(node, "epsilon"), element and element.numpy))
    scale, shift = _affine(nodes, parameters, epsilon)  # pyright: ignore[reportArgumentType]
    axis = 0 if before.op_type == "Conv" else 1
    shape = constant(np.array([-1 if i == axis else 1 for i in range(rank)]))
    factor = _emit(nodes, "Reshape", scale, shape)
    moved = _emit(nodes, "Mul", weight, factor)
    if bias is not None:
        shift = _emit(nodes, "Add", _emit(nodes, "Mul", bias, scale), shift)
    fresh = make(
        before.op_type, (before.inputs[0], moved, shift), node.outputs[0], before.attributes,
        version=before.version,
    )  # fmt: skip
    outputs = (output_of(fresh), *(None for _ in node.outputs[1:]))
    return Replacement([*nodes, fresh], outputs, [before])


def _refusal(node: Node, before: Node, site: Site) -> str:
    weight = before.inputs[1]
    values = [weight, *before.inputs[2:3], *node.inputs[1:]]
    if any(value is not None and value.data is None for value in values):
        return "its parameters or the convolution's weights are computed"
    if any(value is not None for value in node.outputs[1:]) and not _are_unused(node, site):
        return "its statistics are used"
    if before.op_type == "ConvTranspose" and argument(before, "group") != 1:
        return "the convolution has groups"
    if "spatial" in node.attributes and not node.attributes["spatial"].value:
        return "it is not spatial"
    if any(value is not None and site.facts.rank(value) != 1 for value in node.inputs[1:]):
        return "its parameters are no vectors"
    if len({site.facts.dtype(value) for value in values if value is not None}) > 1:
        return "its parameters are of another type than the convolution's"
    return site.outside_use([before], [node])


def _are_unused(node: Node, site: Site) -> bool:
    return all(value is None or site.is_only_use(value, 0) for value in node.outputs[1:])


def _affine(nodes: list[Node], parameters: list[Value], epsilon: Value) -> tuple[Value, Value]:
    """Factor and summand that the normalization comes down to."""
    scale, shift, mean, variance = parameters
    spread = _emit(nodes, "Add", variance, epsilon)
    factor = _emit(nodes, "Div", scale, _emit(nodes, "Sqrt", spread))
    return factor, _emit(nodes, "Sub", shift, _emit(nodes, "Mul", mean, factor))


def _emit(nodes: list[Node], op_type: str, *inputs: Value) -> Value:
    nodes.append(make(op_type, inputs))
    return output_of(nodes[-1])
