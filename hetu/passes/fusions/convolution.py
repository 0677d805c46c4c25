"""Convolutions: weights packed once, with activation and residual in the same step."""

import numpy as np

from hetu.ir import Node, Value
from hetu.ops.fused.convolution import LIKE_SHAPE
from hetu.ops.native import suits_winograd
from hetu.ops.windows import Windows
from hetu.passes.build import constant, make, make_fused, output_of
from hetu.passes.facts import argument, is_onnx
from hetu.passes.fusion import Outcome, Replacement, Site, fusion, replaced
from hetu.passes.fusions.activations import ACTIVATIONS, open_producer, with_activation
from hetu.passes.fusions.affine import emit, is_given
from hetu.passes.fusions.linear import is_small
from hetu.passes.windows import cropped_windows, placed_windows
from hetu.types import FLOAT32


@fusion("Conv")
def single_pixel(node: Node, site: Site) -> Outcome:
    """A convolution of images of one pixel, as squeezed channels are: a small product.

    What is packed stays a convolution, with what follows in the same step.
    """
    x, weight, bias = (*node.inputs, None)[:3]
    if not is_onnx(node, "Conv") or x is None or weight is None or argument(node, "group") != 1:
        return None
    found = (x, weight, node.outputs[0])
    shapes: list[tuple[int, ...]] = [site.facts.shape(value) or () for value in found]
    if any(len(shape) < 3 or set(shape[2:]) != {1} for shape in shapes):
        return None
    whole, kernel, result = shapes
    if 0 in whole or not is_small(site, whole[0], whole[1], kernel[0]):
        return None
    nodes: list[Node] = []
    rows = emit(nodes, "Reshape", x, constant(np.array(whole[:2])))
    matrix = emit(nodes, "Reshape", weight, constant(np.array(kernel[:2])))
    given = [rows, matrix] if bias is None else [rows, matrix, bias]
    nodes.append(make("Gemm", given, None, {"transB": 1}))
    fresh = make("Reshape", [output_of(nodes[-1]), constant(np.array(result))], node.outputs[0])
    return Replacement([*nodes, fresh], fresh.outputs)


@fusion("Conv", inference_only=True)
def convolution(node: Node, site: Site) -> Outcome:
    """A convolution with a weight."""
    x, weight, bias = (*node.inputs, None)[:3]
    if not is_onnx(node, "Conv") or x is None or weight is None or not is_given(weight):
        return None
    kernel = _kernel_shape(weight, site)
    if kernel is None or len(kernel) not in (1, 2, 3) or 0 in kernel:
        return "only weights of one to three spatial axes gain from it"
    if site.facts.dtype(weight) is not FLOAT32:
        return f"the weight is {site.facts.dtype(weight)}"
    shape = site.facts.shape(x)
    placed = placed_windows(node, kernel, shape)
    if placed is None:
        return "the padding depends on the input's size"
    if shape is not None and not _fits(node, weight, shape, placed, site):
        return "its input does not fit the weight"
    if placed.rank == 1:
        placed, shape = placed.as_rows(), shape and (*shape[:2], 1, *shape[2:])
    geometry = {
        "pads": (*placed.begin, *placed.end), "strides": placed.strides,
        "dilations": placed.dilations, "group": argument(node, "group"),
    }  # fmt: skip
    layout = {**geometry, "packs": site.facts.copies_weights, LIKE_SHAPE: shape}
    packed = make_fused("PackConv", [weight], None, layout)
    inputs = [x, output_of(packed), bias]
    fresh = make_fused("Conv", inputs, node.outputs[0], geometry)
    return Replacement([packed, fresh], fresh.outputs)


@fusion("Conv")
def trained_convolution(node: Node, site: Site) -> Outcome:
    """A convolution with a weight that trains, with windows of 3 x 3 at each pixel."""
    x, weight, bias = (*node.inputs, None)[:3]
    if not is_onnx(node, "Conv") or site.facts.is_inference or not site.facts.has_library:
        return None
    shape, kernel = site.facts.shape(x), site.facts.shape(weight)
    if shape is None or kernel is None or len(shape) != 4 or kernel[2:] != (3, 3):
        return None
    placed = placed_windows(node, kernel[2:], shape)
    if placed is None or argument(node, "group") != 1:
        return None
    pads = (*placed.begin, *placed.end)
    if {*placed.strides, *placed.dilations} != {1} or min(pads) < 0 or shape[1] != kernel[1]:
        return None
    if site.facts.dtype(weight) is not FLOAT32 or site.facts.dtype(x) is not FLOAT32:
        return "it does not compute in float32"
    if site.facts.derivatives > 1:
        return "it is differentiated twice"
    if not suits_winograd(shape, kernel[0], pads, trains=True):
        return "its channels or pixels are too few, or the processor has no fast way for it"
    fresh = make_fused("TrainedConv", [x, weight, bias], node.outputs[0], {"pads": pads})
    return replaced(node, fresh)


def _fits(node: Node, weight: Value, shape: tuple[int, ...], placed: Windows, site: Site) -> bool:
    """Whether an input of a shape has the weight's channels and room for a window."""
    channels = (site.facts.shape(weight) or (0, 0))[1] * argument(node, "group")
    return shape[1] == channels and 0 not in placed.counts()


def _kernel_shape(weight: Value, site: Site) -> tuple[int, ...] | None:
    shape = site.facts.shape(weight)
    return None if shape is None or 0 in shape else shape[2:]


@fusion("ConvTranspose", inference_only=True)
def transposed_convolution(node: Node, site: Site) -> Outcome:
    """A transposed convolution with a weight."""
    x, weight, bias = (*node.inputs, None)[:3]
    if not is_onnx(node, "ConvTranspose") or x is None or weight is None or not is_given(weight):
        return None
    kernel, shape = _kernel_shape(weight, site), site.facts.shape(x)
    if kernel is None or len(kernel) not in (1, 2) or shape is None or 0 in (*kernel, *shape):
        return "only weights of one or two spatial axes gain from it, on inputs of known shapes"
    if site.facts.dtype(weight) is not FLOAT32:
        return f"the weight is {site.facts.dtype(weight)}"
    sizes = shape[2:]
    over, extra, begin, end = cropped_windows(node, kernel, sizes)
    if begin != end or min(begin) < 0 or not over.takes(extra):
        return "it is cut or padded in another way than oneDNN does"
    if over.rank == 1:
        over, begin, extra, sizes = over.as_rows(), (0, *begin), (0, *extra), (1, *sizes)
    geometry = {
        "pads": begin * 2, "output_padding": extra, "strides": over.strides,
        "dilations": over.dilations, "group": argument(node, "group"),
    }  # fmt: skip
    layout = {"packs": site.facts.copies_weights, LIKE_SHAPE: (*shape[:2], *sizes)}
    packed = make_fused("PackConvTranspose", [weight], None, geometry | layout)
    inputs = [x, output_of(packed), bias]
    fresh = make_fused("ConvTranspose", inputs, node.outputs[0], geometry)
    return Replacement([packed, fresh], fresh.outputs)


@fusion(*ACTIVATIONS, after=["Conv", "ConvTranspose"], inference_only=True)
def convolution_activation(node: Node, site: Site) -> Outcome:
    """An activation after a convolution, transposed or not."""
    found = with_activation(node, "Conv", site)
    return found or with_activation(node, "ConvTranspose", site)


@fusion("Add", after=["Conv"], inference_only=True)
def convolution_plus(node: Node, site: Site) -> Outcome:
    """A value of the result's shape added to a convolution."""
    for value, other in (node.inputs, node.inputs[::-1]):
        before = open_producer(value, "Conv", site)
        if before is None or value is None or other is None or other is value:
            continue
        if len(before.inputs) > 3:
            continue
        shape = site.facts.shape(value)
        if shape is None or shape != site.facts.shape(other):
            return "the shapes of its two summands are not known to be the same"
        inputs = (*before.inputs, other)
        fresh = make_fused("Conv", inputs, node.outputs[0], before.attributes)
        return replaced(node, fresh, before)
    return None
