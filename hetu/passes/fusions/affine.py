"""A factor and a summand of each channel after a convolution or product: other weights and bias."""

from collections.abc import Sequence

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, make_again, output_of
from hetu.passes.facts import argument, is_fused, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.types import TensorType

LAYERS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_MAKERS = (
    "Add", "Sub", "Mul", "Div", "Neg", "Pow", "Reciprocal", "Sqrt",
    "LayerNormalization", "ReduceMean",
    "Concat", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
_OPPOSITES = {"Add": None, "Sub": "Neg", "Mul": None, "Div": "Reciprocal"}


@fusion(*_OPPOSITES, after=LAYERS, inference_only=True)
def channel_affine(node: Node, site: Site) -> Outcome:
    """A factor or a summand of each channel."""
    if not is_onnx(node, *_OPPOSITES) or "broadcast" in node.attributes:
        return None
    orders = (node.inputs, node.inputs[::-1])[: 1 if _OPPOSITES[node.op_type] else 2]
    for value, parameter in orders:
        before = made_by(value, *LAYERS)
        if before is None or value is None or parameter is None or not is_given(parameter):
            continue
        is_factor = node.op_type in ("Mul", "Div")
        axis = 1 if before.op_type.startswith("Conv") else -1
        if not is_per_channel(parameter, value, axis, site):
            continue
        if before.op_type in ("MatMul", "Gemm") and not is_factor:
            continue  # their sum is a step of its own
        if reason := refusal(before, [parameter], site) or site.outside_use([before], [node]):
            return reason
        return _replacement(node, before, parameter, is_factor, site)
    return None


def _replacement(
    node: Node, before: Node, parameter: Value, is_factor: bool, site: Site
) -> Replacement:
    nodes: list[Node] = []
    vector = emit(nodes, "Reshape", parameter, constant(np.array([-1])))
    opposite = _OPPOSITES[node.op_type]
    vector = emit(nodes, opposite, vector) if opposite else vector
    scale, shift = (vector, None) if is_factor else (None, vector)
    fresh = moved(nodes, before, scale, shift, node.outputs[0], site)
    return Replacement([*nodes, fresh], fresh.outputs, [before])


def is_per_channel(parameter: Value, value: Value, axis: int, site: Site) -> bool:
    """Whether a parameter has one number for each position along a value's axis of channels."""
    shape, whole = site.facts.shape(parameter), site.facts.shape(value)
    if shape is None or whole is None or len(whole) < 2 or len(shape) > len(whole):
        return False
    wanted = [1] * len(whole)
    wanted[axis] = whole[axis]
    return [1] * (len(whole) - len(shape)) + list(shape) == wanted


def is_given(value: Value | None) -> bool:
    """Whether a value is a weight, or made of weights, standardized or not, and factors of them."""
    if value is None or value.data is not None:
        return value is not None
    node = value.node
    if node is None or not (is_onnx(node, *_MAKERS) or is_fused(node, "ChannelAffine")):
        return False
    return all(is_given(given) for given in node.inputs if given is not None)


def refusal(layer: Node, parameters: Sequence[Value | None], site: Site) -> str:
    """The reason why a layer's weights cannot take in some parameters."""
    values = [*layer.inputs[1:3], *parameters]
    if not all(value is None or is_given(value) for value in values):
        return "its parameters or the layer's weights are computed"
    if layer.op_type == "ConvTranspose" and argument(layer, "group") != 1:
        return "the convolution has groups"
    if layer.op_type == "MatMul" and site.facts.rank(layer.inputs[1]) != 2:
        return "the weight is no matrix"
    if layer.op_type == "Gemm" and any(argument(layer, name) != 1 for name in ("alpha", "beta")):
        return "it scales"
    if layer.op_type == "Gemm" and (site.facts.rank((*layer.inputs, None)[2]) or 1) != 1:
        return "what it adds is no vector"
    if len({site.facts.dtype(value) for value in values if value is not None}) > 1:
        return "its parameters are of another type than the layer's"
    return ""


def moved(
    nodes: list[Node], layer: Node, scale: Value | None, shift: Value | None,
    like: Value | None, site: Site,
) -> Node:  # fmt: skip
    """The layer with the result `scale * y + shift`; `nodes` grows by what makes its weights."""
    x, weight, bias = (*layer.inputs, None)[:3]
    assert weight is not None
    if scale is not None:
        shape = [1] * (site.facts.rank(weight) or 0)
        shape[_outputs_axis(layer)] = -1
        factor = emit(nodes, "Reshape", scale, constant(np.array(shape)))
        known = site.facts.type(weight)
        weight = site.facts.state(emit(nodes, "Mul", weight, factor), known)
        bias = emit(nodes, "Mul", bias, scale) if bias is not None else None
    if shift is not None:
        bias = shift if bias is None else emit(nodes, "Add", bias, shift)
    if bias is not None and bias.data is None:
        site.facts.state(bias, _vector(layer, weight, site))
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return make_again(layer, inputs, like)


def _vector(layer: Node, weight: Value, site: Site) -> TensorType | None:
    """The type of a number for each channel."""
    known, shape = site.facts.type(weight), site.facts.shape(weight)
    if known is None or shape is None:
        return None
    size = shape[_outputs_axis(layer)]
    return TensorType(known.dtype, (size,))


def _outputs_axis(layer: Node) -> int:
    """The axis of a layer's weight that its channels lie along."""
    if layer.op_type == "Gemm":
        return 0 if argument(layer, "transB") else 1
    return 0 if layer.op_type == "Conv" else 1


def emit(nodes: list[Node], op_type: str, *inputs: Value) -> Value:
    """A further node; returns its result."""
    nodes.append(make(op_type, inputs))
    return output_of(nodes[-1])
