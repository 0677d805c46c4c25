"""Batch normalizations: into the weights before them in inference, by oneDNN in training."""

from collections.abc import Sequence

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, make_again, make_fused, output_of
from hetu.passes.facts import argument, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion, replaced
from hetu.passes.fusions.activations import ACTIVATIONS, open_producer, with_activation
from hetu.passes.fusions.affine import emit, is_given, moved, refusal
from hetu.types import FLOAT32


@fusion("BatchNormalization", inference_only=True)
def batch_norm(node: Node, site: Site) -> Outcome:
    """A convolution and the normalization after it: one with other weights."""
    before = made_by(node.inputs[0], "Conv", "ConvTranspose")
    if before is None:
        return None
    if reason := _refusal(node, before, [before], site):
        return reason
    nodes: list[Node] = []
    scale, shift = _affine(nodes, node, site)
    fresh = moved(nodes, before, scale, shift, node.outputs[0], site)
    return _replacement(node, [*nodes, fresh], [before])


@fusion("BatchNormalization", inference_only=True)
def batch_norm_of_rows(node: Node, site: Site) -> Outcome:
    """The normalization of a product's columns, of which a bias and a reshape may be part."""
    x = node.inputs[0]
    flat = made_by(x, "Reshape")
    rows = x if flat is None else flat.inputs[0]
    if site.facts.rank(x) != 2 or not _ends_alike(rows, x, site):
        return None
    plus = made_by(rows, "Add")
    product, bias = (rows, None) if plus is None else _summands(plus, site)
    layer = made_by(product, "MatMul", "Gemm")
    if layer is None or product is None:
        return None
    covered = [each for each in (layer, plus, flat) if each is not None]
    if reason := _refusal(node, layer, covered, site):
        return reason
    nodes: list[Node] = []
    scale, shift = _affine(nodes, node, site)
    if bias is not None:
        shift = emit(nodes, "Add", shift, emit(nodes, "Mul", bias, scale))
    site.facts.state(shift, site.facts.type(node.inputs[1]))
    is_gemm = layer.op_type == "Gemm"
    nodes.append(moved(nodes, layer, scale, shift if is_gemm else None, node.outputs[0], site))
    y = site.facts.state(output_of(nodes[-1]), site.facts.type(product))
    if not is_gemm:
        nodes.append(make("Add", [y, shift], node.outputs[0]))
    if flat is not None:
        y = site.facts.state(output_of(nodes[-1]), site.facts.type(product))
        nodes.append(make_again(flat, [y, *flat.inputs[1:]], node.outputs[0]))
    return _replacement(node, nodes, covered)


@fusion("BatchNormalization", inference_only=True)
def lone_batch_norm(node: Node, site: Site) -> Outcome:
    """A normalization that no layer takes in: a factor and a summand of each channel."""
    x, *parameters = node.inputs
    if any(site.facts.dtype(value) is not FLOAT32 for value in node.inputs):
        return "not all of its inputs are known to be float32"
    if site.facts.rank(x) in (None, 1) or not all(map(is_given, parameters)):
        return "its parameters are computed, or its input has no known channels"
    if reason := _unusual(node, site):
        return reason
    nodes: list[Node] = []
    scale, shift = _affine(nodes, node, site)
    fresh = make_fused("ChannelAffine", [x, scale, shift], node.outputs[0])
    return _replacement(node, [*nodes, fresh], [])


@fusion(*ACTIVATIONS, after=["ChannelAffine"], inference_only=True)
def batch_norm_activation(node: Node, site: Site) -> Outcome:
    """An activation after a factor and a summand of each channel."""
    return with_activation(node, "ChannelAffine", site)


@fusion("BatchNormalization")
def trained_batch_norm(node: Node, site: Site) -> Outcome:
    """A normalization of images by statistics of the batch, where channels may lie side by side."""
    if not is_onnx(node, "BatchNormalization") or not site.facts.training:
        return None
    shape = site.facts.shape(node.inputs[0]) or ()
    if len(shape) != 4 or 0 in shape or not site.facts.has_library or node.version < 9:
        return None
    if any(site.facts.dtype(value) is not FLOAT32 for value in node.inputs):
        return "not all of its inputs are known to be float32"
    if not all(value is not None and value.node is None for value in node.inputs[3:]):
        return "its running statistics are computed"
    if reason := _unusual(node, site):
        return reason
    if site.facts.derivatives > 1 or site.facts.compiles:
        return "it is differentiated twice, or torch.compile takes it as it is"
    given = {
        "epsilon": argument(node, "epsilon"), "momentum": argument(node, "momentum"),
        "moves_to_population": _trains_in_file(node),
    }  # fmt: skip
    fresh = make_fused("TrainedBatchNorm", node.inputs, node.outputs[0], given)
    return Replacement([fresh], (*fresh.outputs, *(None for _ in node.outputs[1:])))


@fusion("Relu", after=["TrainedBatchNorm"])
def trained_batch_norm_activation(node: Node, site: Site) -> Outcome:
    """A ReLU after such a normalization."""
    before = open_producer(node.inputs[0], "TrainedBatchNorm", site)
    if before is None or not is_onnx(node, "Relu"):
        return None
    given = {**before.attributes, "rectifies": True}
    fresh = make_fused("TrainedBatchNorm", before.inputs, node.outputs[0], given)
    return replaced(node, fresh, before)


def _trains_in_file(node: Node) -> bool:
    """Whether a normalization is in its training form; older ones say so by their outputs."""
    return bool(argument(node, "training_mode")) if node.version >= 14 else len(node.outputs) > 1


def _ends_alike(one: Value | None, other: Value | None, site: Site) -> bool:
    """Whether two values are known to have last axes of the same size."""
    shapes = [site.facts.shape(each) for each in (one, other)]
    return all(shapes) and len({shape[-1] for shape in shapes if shape}) == 1


def _summands(plus: Node, site: Site) -> tuple[Value | None, Value | None]:
    """The product and the vector that are added."""
    for product, bias in (plus.inputs, plus.inputs[::-1]):
        if bias is not None and is_given(bias) and site.facts.rank(bias) == 1:
            return product, bias
    return None, None


def _replacement(node: Node, nodes: Sequence[Node], covered: Sequence[Node]) -> Replacement:
    outputs = (output_of(nodes[-1]), *(None for _ in node.outputs[1:]))
    return Replacement(nodes, outputs, covered)


def _refusal(node: Node, before: Node, covered: Sequence[Node], site: Site) -> str:
    return (
        _unusual(node, site)
        or refusal(before, node.inputs[1:], site)
        or site.outside_use(covered, [*covered, node])
    )


def _unusual(node: Node, site: Site) -> str:
    if any(value is not None for value in node.outputs[1:]) and not _are_unused(node, site):
        return "its statistics are used"
    if "spatial" in node.attributes and not node.attributes["spatial"].value:
        return "it is not spatial"
    if any(value is not None and site.facts.rank(value) != 1 for value in node.inputs[1:]):
        return "its parameters are no vectors"
    return ""


def _are_unused(node: Node, site: Site) -> bool:
    return all(value is None or site.is_only_use(value, 0) for value in node.outputs[1:])


def _affine(nodes: list[Node], node: Node, site: Site) -> tuple[Value, Value]:
    """Factor and summand that the normalization comes down to."""
    scale, shift, mean, variance = (value for value in node.inputs[1:] if value is not None)
    element = site.facts.dtype(scale)
    epsilon = constant(np.array(argument(node, "epsilon"), element and element.numpy))
    spread = emit(nodes, "Add", variance, epsilon)
    factor = emit(nodes, "Div", scale, emit(nodes, "Sqrt", spread))
    return factor, emit(nodes, "Sub", shift, emit(nodes, "Mul", mean, factor))
