"""Products with flattened images: the weight is reordered, so that the images need not be."""

from math import prod

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, make_again, make_fused, output_of
from hetu.passes.facts import argument, is_fused, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.affine import emit, is_given


@fusion("MatMul", "Gemm", inference_only=True)
def image_rows(node: Node, site: Site) -> Outcome:
    """A product with flattened images whose channels lie side by side."""
    flat = made_by(node.inputs[0], "Reshape", "Flatten")
    if flat is None or not site.facts.has_library or not site.facts.copies_weights:
        return None
    if not is_onnx(node, "MatMul", "Gemm") or not _is_image(flat.inputs[0]):
        return None
    weight, is_gemm = node.inputs[1], node.op_type == "Gemm"
    image, rows, matrix = map(site.facts.shape, (flat.inputs[0], flat.outputs[0], weight))
    if weight is None or not is_given(weight) or image is None or matrix is None:
        return None
    if len(matrix) != 2 or (is_gemm and argument(node, "transA")):
        return None
    depth, is_transposed = prod(image[1:]), is_gemm and bool(argument(node, "transB"))
    if len(image) < 4 or rows != (image[0], depth) or matrix[is_transposed] != depth:
        return None
    if image[1] == 1 or prod(image[2:]) == 1:
        return None  # their order is the same
    nodes = [make_fused("ImageRows", [flat.inputs[0]])]
    x = site.facts.state(output_of(nodes[0]), site.facts.type(flat.outputs[0]))
    reordered = _reordered(nodes, weight, image[1:], is_transposed)
    site.facts.state(reordered, site.facts.type(weight))
    fresh = make_again(node, [x, reordered, *node.inputs[2:]], node.outputs[0])
    covered = [flat] if site.is_only_use(node.inputs[0]) else []
    return Replacement([*nodes, fresh], fresh.outputs, covered)


def _is_image(value: Value | None) -> bool:
    """Whether a fused convolution, or a pool of its result, makes a value."""
    node = value.node if value is not None else None
    if node is not None and is_fused(node, "Pool") and node.inputs[0] is not None:
        node = node.inputs[0].node
    return is_fused(node, "Conv") or is_fused(node, "ConvTranspose")


def _reordered(
    nodes: list[Node], weight: Value, image: tuple[int, ...], is_transposed: bool
) -> Value:
    """The weight whose inputs are flattened images, for those that `ImageRows` flattens."""
    split = (-1, *image) if is_transposed else (*image, -1)
    first, last = int(is_transposed), len(image) - 1 + int(is_transposed)
    axes = [*range(first), *range(first + 1, last + 1), first, *range(last + 1, len(split))]
    matrix = (-1, prod(image)) if is_transposed else (prod(image), -1)
    apart = emit(nodes, "Reshape", weight, constant(np.array(split)))
    nodes.append(make("Transpose", [apart], None, {"perm": tuple(axes)}))
    return emit(nodes, "Reshape", output_of(nodes[-1]), constant(np.array(matrix)))
