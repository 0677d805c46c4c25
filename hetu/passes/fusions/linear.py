"""Products with a weight: packed once, with bias, activation and residual in the same step."""

from dataclasses import replace
from math import prod

import numpy as np

from hetu.ir import Node, Value
from hetu.ops.native import TYPICAL_ROWS
from hetu.ops.products import choose
from hetu.passes.build import constant, make, make_fused, output_of
from hetu.passes.facts import argument, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion, replaced
from hetu.passes.fusions.activations import ACTIVATIONS, open_producer, with_activation
from hetu.passes.fusions.affine import emit, is_given
from hetu.types import FLOAT32

SMALLEST, SMALLEST_OF_MANY_ROWS = 1 << 20, 1 << 22
"""A product of fewer multiplications is faster without oneDNN where its calls cost more: that of up
to 16 rows, on which BLAS is slow, and that of 64 and more."""

_PLAIN = {"transA": 0, "alpha": 1, "beta": 1}

SMALLEST_ROW = 1 << 18
"""A product of one row with fewer is faster in one thread."""


@fusion("Reshape", inference_only=True)
def flattened(node: Node, site: Site) -> Outcome:
    """A `Gemm` of rows that are put together before and apart after it."""
    gemm = made_by(node.inputs[0], "Gemm")
    if gemm is None or not site.is_only_use(node.inputs[0]):
        return None
    flat = made_by(gemm.inputs[0], "Reshape")
    if flat is None or flat.inputs[0] is None:
        return None
    weight, bias = (*gemm.inputs[1:], None)[:2]
    values = (flat.inputs[0], gemm.inputs[0], gemm.outputs[0], node.outputs[0])
    given, rows, result, after = map(site.facts.shape, values)
    if given is None or rows is None or result is None or after is None or weight is None:
        return None
    if len(after) < 3 or after[-1] != result[-1]:
        return None
    if any(argument(gemm, name) != wanted for name, wanted in _PLAIN.items()):
        return None
    if bias is not None and site.facts.shape(bias) != after[-1:]:
        return None
    nodes: list[Node] = []
    x, wanted = flat.inputs[0], (*after[:-1], rows[-1])
    if given != wanted:
        known = site.facts.type(x)
        x = emit(nodes, "Reshape", x, constant(np.array(wanted)))
        site.facts.state(x, known and replace(known, shape=wanted))
    if argument(gemm, "transB"):
        nodes.append(make("Transpose", [weight], None, {"perm": (1, 0)}))
        weight = output_of(nodes[-1])
    nodes.append(make("MatMul", [x, weight], node.outputs[0]))
    y = site.facts.state(output_of(nodes[-1]), site.facts.type(node.outputs[0]))
    if bias is not None:
        nodes.append(make("Add", [y, bias], node.outputs[0]))
    covered = [gemm, flat] if site.is_only_use(gemm.inputs[0]) else [gemm]
    return Replacement(nodes, nodes[-1].outputs, covered)


@fusion("MatMul", "Gemm", inference_only=True)
def linear(node: Node, site: Site) -> Outcome:
    """A product with a weight, `Gemm`'s sum included."""
    weight = _weight(node, site)
    if weight is None:
        return None
    source, is_transposed = weight
    if reason := _refusal(node, source, is_transposed, site):
        return reason
    x, bias = node.inputs[0], (*node.inputs, None)[2]
    rows = _rows(node, site)
    copies, is_moved = site.facts.copies_weights, site.facts.moves_weights
    packs = copies or (is_moved and site.is_only_use(source))
    is_for_row = rows == 1 and (copies or not packs)  # one form has to serve all numbers of rows
    layout = {"transposed": is_transposed, "packs": packs, "is_for_row": is_for_row}
    packed = make_fused("PackLinear", [source], None, layout)
    fresh = make_fused("Linear", [x, output_of(packed), bias], node.outputs[0])
    return Replacement([packed, fresh], fresh.outputs)


@fusion("MatMul", "Gemm")
def trained_linear(node: Node, site: Site) -> Outcome:
    """A product with a weight that trains, `Gemm`'s sum included."""
    weight = _weight(node, site) if not site.facts.is_inference else None
    if weight is None:
        return None
    source, is_transposed = weight
    if reason := _refusal(node, source, is_transposed, site):
        return reason
    if site.facts.derivatives > 1:
        return "it is differentiated twice"
    if site.facts.compiles:
        return "torch.compile takes it as it is"
    rows, (columns, depth) = _rows(node, site), _sizes(source, is_transposed, site)
    if rows is None:
        return "the number of its rows is not known"
    choice = choose(rows, depth, columns)
    if not any(choice):
        return "oneDNN is no faster on this processor"
    given = {"transposed": is_transposed, "choice": tuple(map(int, choice))}
    inputs = (node.inputs[0], source, *node.inputs[2:])
    return replaced(node, make_fused("TrainedLinear", inputs, node.outputs[0], given))


def _sizes(weight: Value, is_transposed: bool, site: Site) -> tuple[int, int]:
    """The numbers of a weight's columns and of the terms of each."""
    first, second = site.facts.shape(weight) or (0, 0)
    return (first, second) if is_transposed else (second, first)


def _weight(node: Node, site: Site) -> tuple[Value, bool] | None:
    """The weight of a product, and whether it is (outputs, inputs)."""
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    if weight is None or not is_onnx(node, "MatMul", "Gemm"):
        return None
    is_transposed = node.op_type == "Gemm" and bool(argument(node, "transB"))
    before = made_by(weight, "Transpose")
    if before is not None and _swaps(before):
        weight, is_transposed = before.inputs[0], not is_transposed
    if weight is None or not is_given(weight) or site.facts.rank(weight) != 2:
        return None
    return weight, is_transposed


def _swaps(transpose: Node) -> bool:
    return argument(transpose, "perm") in (None, (1, 0), [1, 0])


def _refusal(node: Node, weight: Value, is_transposed: bool, site: Site) -> str:
    if site.facts.dtype(weight) is not FLOAT32:
        return f"the weight is {site.facts.dtype(weight)}"
    columns, depth = _sizes(weight, is_transposed, site)
    given = site.facts.shape(node.inputs[0])
    if given is not None and given[-1:] != (depth,):
        return "its input does not fit the weight"
    if node.op_type == "Gemm":
        if argument(node, "transA") or argument(node, "alpha") != 1 or argument(node, "beta") != 1:
            return "it transposes or scales"
        bias = (*node.inputs, None)[2]
        if bias is not None and site.facts.shape(bias) != (columns,):
            return "what it adds is no vector of the length of its result"
    if is_small(site, _rows(node, site), depth, columns):
        return "it is too small to gain from it"
    return "its input is a vector" if site.facts.rank(node.inputs[0]) == 1 else ""


def is_small(site: Site, rows: int | None, depth: int, columns: int) -> bool:
    """Whether a product of so many rows is faster in one call of BLAS."""
    packs = site.facts.copies_weights or site.facts.moves_weights
    if site.facts.is_inference and packs and site.facts.has_library:
        return False
    if rows == 1:
        return depth * columns < SMALLEST_ROW
    smallest = min(max(SMALLEST, (rows or 0) << 16), SMALLEST_OF_MANY_ROWS)
    return (rows or TYPICAL_ROWS) * depth * columns < smallest


def _rows(node: Node, site: Site) -> int | None:
    shape = site.facts.shape(node.inputs[0])
    return None if shape is None else prod(shape[:-1])


@fusion("Add", after=["Linear"], inference_only=True)
def linear_bias(node: Node, site: Site) -> Outcome:
    """A vector added to a product."""
    for value, bias in (node.inputs, node.inputs[::-1]):
        before = open_producer(value, "Linear", site)
        if before is None or bias is None or not is_given(bias) or before.inputs[2] is not None:
            continue
        if site.facts.rank(bias) != 1 or site.facts.shape(bias) != (_columns(before, site),):
            continue
        inputs = (*before.inputs[:2], bias)
        return replaced(node, make_fused("Linear", inputs, node.outputs[0]), before)
    return None


def _columns(product: Node, site: Site) -> int:
    packing = product.inputs[1].node if product.inputs[1] is not None else None
    assert packing is not None and packing.inputs[0] is not None
    shape = site.facts.shape(packing.inputs[0]) or (0, 0)
    return shape[0 if packing.attributes["transposed"].value else 1]


@fusion("Add", after=["Linear"], inference_only=True)
def linear_plus(node: Node, site: Site) -> Outcome:
    """A value of the result's shape added to a product."""
    for value, other in (node.inputs, node.inputs[::-1]):
        before = open_producer(value, "Linear", site)
        if before is None or value is None or other is None or other is value:
            continue
        shape = site.facts.shape(value)
        if shape is None or shape != site.facts.shape(other):
            continue
        inputs = (*before.inputs, other)
        return replaced(node, make_fused("LinearPlus", inputs, node.outputs[0]), before)
    return None


@fusion(*ACTIVATIONS, after=["Linear"], inference_only=True)
def linear_activation(node: Node, site: Site) -> Outcome:
    """An activation after a product."""
    return with_activation(node, "Linear", site)
