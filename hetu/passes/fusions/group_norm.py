"""Group normalization as exporters spell it: that of instances whose channels are the groups."""

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, make_again
from hetu.passes.facts import argument, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.affine import emit, is_per_channel


@fusion("Reshape")
def group_norm(node: Node, site: Site) -> Outcome:
    """(N, C, ...) as (N, groups, all else), normalized and brought back into shape."""
    norm = made_by(node.inputs[0], "InstanceNormalization")
    flat = made_by(norm.inputs[0], "Reshape") if norm is not None else None
    if norm is None or flat is None:
        return None
    x = flat.inputs[0]
    shape, grouped = (site.facts.shape(each) for each in (x, norm.inputs[0]))
    if shape is None or grouped is None or site.facts.shape(node.outputs[0]) != shape:
        return None
    if len(shape) < 3 or 0 in shape or shape[0] != grouped[0] or shape[1] % grouped[1]:
        return None
    if reason := site.outside_use([norm], [node]):
        return reason
    nodes: list[Node] = []
    parameters = [_repeated(nodes, each, shape[1] // grouped[1]) for each in norm.inputs[1:]]
    attributes = {"epsilon": argument(norm, "epsilon"), "num_groups": grouped[1]}
    fresh = make("GroupNormalization", [x, *parameters], node.outputs[0], attributes)
    covered = [norm, flat] if site.is_only_use(norm.inputs[0]) else [norm]
    return Replacement([*nodes, fresh], fresh.outputs, covered)


def _repeated(nodes: list[Node], parameter: Value | None, count: int) -> Value:
    """A number of each group as one of each of its `count` channels."""
    assert parameter is not None
    column = emit(nodes, "Unsqueeze", parameter, constant(np.array([1])))
    rows = emit(nodes, "Expand", column, constant(np.array([1, count])))
    return emit(nodes, "Reshape", rows, constant(np.array([-1])))


@fusion("Mul", "Add", after=["GroupNormalization"])
def group_norm_affine(node: Node, site: Site) -> Outcome:
    """A factor or a summand of each channel after a group normalization."""
    for value, parameter in (node.inputs, node.inputs[::-1]):
        before = made_by(value, "GroupNormalization")
        if before is None or value is None or parameter is None or before.version < 21:
            continue
        if site.facts.dtype(parameter) is not site.facts.dtype(value):
            continue
        if not site.is_only_use(value) or not is_per_channel(parameter, value, 1, site):
            continue
        x, scale, bias = before.inputs
        assert scale is not None and bias is not None
        nodes: list[Node] = []
        vector = emit(nodes, "Reshape", parameter, constant(np.array([-1])))
        if node.op_type == "Mul":
            scale = emit(nodes, "Mul", scale, vector)
        bias = emit(nodes, node.op_type, bias, vector)
        fresh = make_again(before, [x, scale, bias], node.outputs[0])
        return Replacement([*nodes, fresh], fresh.outputs, [before])
    return None
