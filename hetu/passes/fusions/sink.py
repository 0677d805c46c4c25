"""Images with channels last between convolutions: transposes move down until they meet others.

TensorFlow's exporter writes channels first around what needs it, and back again. What is between
works on channels first as well.
"""

from collections.abc import Callable

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, make_again, output_of
from hetu.passes.facts import argument, axes_of, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.affine import is_given
from hetu.passes.fusions.pad import pads_of
from hetu.passes.fusions.simplify import permutation
from hetu.types import TensorType

_UNARY = (
    "Abs", "Cast", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu",
    "Log", "Mish", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt",
    "Swish", "Tanh",
)  # fmt: skip
_BINARY = ("Add", "Div", "Max", "Min", "Mul", "PRelu", "Pow", "Sub")
_REDUCTIONS = ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum")
_Perm = tuple[int, ...]


@fusion(*_UNARY, *_BINARY, *_REDUCTIONS, "Concat", "Pad", after=["Transpose"])
def sink(node: Node, site: Site) -> Outcome:
    """A node after a transpose to channels last: before it."""
    perms = {_swap(value, site) for value in node.inputs} - {None}
    if len(perms) != 1 or not is_onnx(node, node.op_type) or None in node.outputs[:1]:
        return None
    (perm,) = perms
    assert perm is not None
    build = _BUILDS.get(node.op_type, _elementwise)
    found = build(node, perm, site)
    if found is None or len(node.outputs) > 1:
        return None
    nodes, after = found
    swaps = [value for value in node.inputs if _swap(value, site)]
    covered = [value.node for value in swaps if value is not None and value.node is not None]
    return Replacement(*_ended(node, nodes, after, site), covered)


def _ended(
    node: Node, nodes: list[Node], after: _Perm, site: Site
) -> tuple[list[Node], tuple[Value | None, ...]]:
    """The nodes with what permutes the result at their end, and the result."""
    if after == tuple(range(len(after))):
        *others, last = nodes
        fresh = make_again(last, last.inputs, node.outputs[0])
        return [*others, fresh], fresh.outputs
    y = output_of(nodes[-1])
    known, shape = site.facts.type(node.outputs[0]), site.facts.shape(node.outputs[0])
    if known is not None and shape is not None:
        before = tuple(shape[after.index(axis)] for axis in range(len(after)))
        site.facts.state(y, TensorType(known.dtype, before))
    back = make("Transpose", [y], node.outputs[0], {"perm": after})
    return [*nodes, back], back.outputs


def _swap(value: Value | None, site: Site) -> _Perm | None:
    """The permutation of the transpose to channels last that makes a value for this node alone."""
    node = made_by(value, "Transpose")
    if node is None or not site.is_only_use(value):
        return None
    perm, source = permutation(node, site), node.inputs[0]
    if perm is None or len(perm) < 3 or perm != (0, *range(2, len(perm)), 1):
        return None
    return None if source is None or is_given(source) else perm


def _source(value: Value | None) -> Value | None:
    node = value.node if value is not None else None
    return None if node is None else node.inputs[0]


_Built = tuple[list[Node], _Perm] | None
"""Nodes on channels first, the last of which makes the result, and what permutes it."""


def _elementwise(node: Node, perm: _Perm, site: Site) -> _Built:
    nodes: list[Node] = []
    inputs: list[Value | None] = []
    is_unary = node.op_type in _UNARY
    if "broadcast" in node.attributes:  # it counts axes, before opset 7
        return None
    for index, value in enumerate(node.inputs):
        if _swap(value, site) is not None:
            inputs.append(_source(value))
        elif is_unary and index:
            inputs.append(value)
        else:
            moved = _parameter(value, perm, nodes, site)
            if moved is None or (node.op_type == "PRelu" and index == 0):
                return None
            inputs.append(moved)
    return [*nodes, make_again(node, inputs)], perm


def _parameter(value: Value | None, perm: _Perm, nodes: list[Node], site: Site) -> Value | None:
    """A given value in the order of axes before the transpose; None where it is not given."""
    shape = site.facts.shape(value)
    if value is None or shape is None or not is_given(value) or len(shape) > len(perm):
        return None
    if all(size == 1 for size in shape):
        return value
    whole = (1,) * (len(perm) - len(shape)) + shape
    before = [whole[perm.index(axis)] for axis in range(len(perm))]
    if sum(size != 1 for size in before) > 1:
        return None
    nodes.append(make("Reshape", [value, constant(np.array(before))], None, {"allowzero": 1}))
    known = site.facts.type(value)
    return site.facts.state(output_of(nodes[-1]), known and TensorType(known.dtype, (*before,)))


def _concat(node: Node, perm: _Perm, site: Site) -> _Built:
    if any(_swap(value, site) is None for value in node.inputs):
        return None
    return [make_again(node, [*map(_source, node.inputs)], axis=perm[argument(node, "axis")])], perm


def _pad(node: Node, perm: _Perm, site: Site) -> _Built:
    per_axis = pads_of(node, len(perm)) if node.version >= 11 else None
    if per_axis is None:
        return None
    before = [per_axis[perm.index(axis)] for axis in range(len(perm))]
    pads = constant(np.array([count for ends in zip(*before, strict=True) for count in ends]))
    return [make_again(node, [_source(node.inputs[0]), pads, *node.inputs[2:3]])], perm


def _reduction(node: Node, perm: _Perm, site: Site) -> _Built:
    axes = axes_of(node, len(perm))
    if not axes or not ("axes" in node.attributes or len(node.inputs) > 1):
        return None
    moved = sorted(perm[axis] for axis in axes)
    inputs = [_source(node.inputs[0])]
    if len(node.inputs) > 1:
        last = make_again(node, [*inputs, constant(np.array(moved))])
    else:
        last = make_again(node, inputs, axes=tuple(moved))
    if argument(node, "keepdims"):
        return [last], perm
    left = [axis for axis in range(len(perm)) if axis not in moved]
    return [last], tuple(left.index(axis) for axis in perm if axis in left)


_BUILDS: dict[str, Callable[[Node, _Perm, Site], _Built]] = {
    "Concat": _concat, "Pad": _pad, **dict.fromkeys(_REDUCTIONS, _reduction),
}  # fmt: skip
