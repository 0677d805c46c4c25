"""Leaves out nodes that hand on what they are given, and joins those that only rearrange.

What a node does follows from the exact types of what goes in and comes out.
"""

from collections.abc import Callable

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, output_of
from hetu.passes.facts import argument, constant_array, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion, replaced
from hetu.types import TensorType

RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")

_SINGLE = ("Concat", "Sum", "Max", "Min", "Mean")
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1, "Pow": 1}


@fusion(
    "Identity", "Cast", "CastLike", "Expand", "Tile", "Slice", "Pad", "Transpose", "Where",
    "Dropout", *RESHAPES, *_SINGLE, *_NEUTRAL,
)  # fmt: skip
def nothing(node: Node, site: Site) -> Outcome:
    """A node whose result is one of its inputs."""
    if not is_onnx(node, node.op_type) or site.is_kept(node.outputs[0]):
        return None
    if any(value is not None and not site.is_only_use(value, 0) for value in node.outputs[1:]):
        return None
    source = _handed_on(node, site)
    if source is None or not _is_same_type(source, node.outputs[0], site):
        return None
    return Replacement([], (source, *(None for _ in node.outputs[1:])))


def _is_same_type(one: Value, other: Value | None, site: Site) -> bool:
    known = site.facts.type(one)
    if other is None or known is None or known.dtype is None or known.dtype.is_widened:
        return False
    return site.facts.shape(one) is not None and known == site.facts.type(other)


def _handed_on(node: Node, site: Site) -> Value | None:
    """The input that a node hands on if only its result has the same type."""
    first = node.inputs[0] if node.inputs else None
    if node.op_type in _SINGLE:
        return first if len(node.inputs) == 1 else None
    if node.op_type in _NEUTRAL:
        return _without_neutral(node)
    if node.op_type == "Where":
        return _chosen(node)
    check = _CHECKS.get(node.op_type)
    return first if check is None or check(node, site) else None


def _without_neutral(node: Node) -> Value | None:
    first, second = node.inputs[:2]
    neutral = _NEUTRAL[node.op_type]
    if _is_full_of(second, neutral):
        return first
    return second if node.op_type in ("Add", "Mul") and _is_full_of(first, neutral) else None


def _is_full_of(value: Value | None, number: int) -> bool:
    array = constant_array(value)
    return array is not None and array.size > 0 and bool(np.all(array == number))


def _chosen(node: Node) -> Value | None:
    """What `Where` takes all of its result from."""
    condition, chosen, other = node.inputs
    array = constant_array(condition)
    if array is None or array.size == 0:
        return None
    if array.all():
        return chosen
    return None if array.any() else other


def _drops_nothing(node: Node, site: Site) -> bool:
    try:
        return site.facts.training is False or argument(node, "ratio") == 0
    except LookupError:
        return False


def _keeps_order(node: Node, site: Site) -> bool:
    perm = permutation(node, site)
    return perm is not None and perm == tuple(range(len(perm)))


def _steps_forward(node: Node, site: Site) -> bool:
    try:
        steps = argument(node, "steps") if node.version >= 10 else None
    except LookupError:
        return False
    return steps is None or bool(np.all(np.asarray(steps) > 0))


def _pads_nothing(node: Node, site: Site) -> bool:
    try:
        pads = argument(node, "pads")
    except LookupError:
        return False
    return pads is not None and not np.any(pads)


_CHECKS: dict[str, Callable[[Node, Site], bool]] = {
    "Dropout": _drops_nothing,
    "Transpose": _keeps_order,
    "Slice": _steps_forward,
    "Pad": _pads_nothing,
}


def permutation(node: Node, site: Site) -> tuple[int, ...] | None:
    """The axes of its input that a `Transpose` puts in order; None where its rank is not known."""
    if "perm" in node.attributes:
        return tuple(node.attributes["perm"].value)
    rank = site.facts.rank(node.inputs[0])
    return None if rank is None else tuple(reversed(range(rank)))


@fusion("Transpose")
def transposes(node: Node, site: Site) -> Outcome:
    """A permutation of axes after another."""
    inner = made_by(node.inputs[0], "Transpose")
    if inner is None:
        return None
    first, second = permutation(inner, site), permutation(node, site)
    if first is None or second is None:
        return None
    perm = tuple(first[axis] for axis in second)
    fresh = make("Transpose", inner.inputs, node.outputs[0], {"perm": perm})
    covered = [] if site.outside_use([inner], [node]) else [inner]
    return replaced(node, fresh, *covered)


@fusion(*RESHAPES)
def reshapes(node: Node, site: Site) -> Outcome:
    """A change of shape after another."""
    inner = made_by(node.inputs[0], *RESHAPES)
    shape = site.facts.shape(node.outputs[0])
    if inner is None or shape is None or not is_onnx(node, *RESHAPES):
        return None
    if site.outside_use([inner], [node]):
        return None
    return replaced(node, _reshape(inner.inputs[0], shape, node.outputs[0]), inner)


def _reshape(x: Value | None, shape: tuple[int, ...], like: Value | None) -> Node:
    wanted = constant(np.array(shape, np.int64))
    return make("Reshape", [x, wanted], like, {"allowzero": 1})


@fusion("Reshape")
def batched_transpose(node: Node, site: Site) -> Outcome:
    """The last two axes exchanged while the others are one: a permutation of all of them."""
    swap = made_by(node.inputs[0], "Transpose")
    if swap is None or permutation(swap, site) != (0, 2, 1):
        return None
    flat = made_by(swap.inputs[0], *RESHAPES)
    if flat is None or flat.inputs[0] is None:
        return None
    swapped, after = (site.facts.shape(each.outputs[0]) for each in (swap, node))
    if swapped is None or after is None or len(after) < 3 or after[-2:] != swapped[1:]:
        return None
    if site.outside_use([flat, swap], [swap, node]):
        return None
    shape = (*after[:-2], after[-1], after[-2])
    unflat = _reshape(flat.inputs[0], shape, None)
    element = site.facts.dtype(flat.inputs[0])
    x = site.facts.state(output_of(unflat), element and TensorType(element, shape))
    is_same = site.facts.shape(flat.inputs[0]) == shape
    axes = range(len(after))
    perm = (*axes[:-2], axes[-1], axes[-2])
    source = flat.inputs[0] if is_same else x
    fresh = make("Transpose", [source], node.outputs[0], {"perm": perm})
    nodes = [fresh] if is_same else [unflat, fresh]
    return Replacement(nodes, fresh.outputs, [flat, swap])
