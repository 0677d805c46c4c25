"""Attention as exporters spell it out: two products with a softmax between them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from hetu.ir import Node, Value
from hetu.ops.fused.attention import FAR
from hetu.passes.build import constant, make, make_fused, output_of
from hetu.passes.facts import argument, constant_array, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.simplify import permutation


@dataclass(frozen=True, slots=True)
class _Scores:
    """What goes into a softmax: `scale * product + masks`, and `nodes` between them."""

    product: Node
    scale: float = 1.0
    masks: tuple["_Mask", ...] = ()
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class _Mask:
    """What is added to scores, or where a condition is `visible`, the number elsewhere."""

    value: Value
    elsewhere: Value | None = None
    visible: bool = True


@dataclass(slots=True)
class _Build:
    """The nodes that a replacement is made of."""

    site: Site
    nodes: list[Node] = field(default_factory=list)

    def add(self, op_type: str, *inputs: Value, **attributes: object) -> Value:
        self.nodes.append(make(op_type, inputs, None, attributes))
        return output_of(self.nodes[-1])

    def transpose(self, value: Value, perm: tuple[int, ...]) -> Value:
        """A value whose axes have another order."""
        known = self.site.facts.type(value)
        if known is not None and known.shape is not None:
            known = replace(known, shape=tuple(known.shape[axis] for axis in perm))
        return self.site.facts.state(self.add("Transpose", value, perm=perm), known)


@fusion("MatMul")
def attention(node: Node, site: Site) -> Outcome:
    """`softmax(scale * q @ k.T + mask) @ v`."""
    weights, v = node.inputs[:2]
    softmax, between = _softmax(weights, site)
    if softmax is None or v is None or not is_onnx(node, "MatMul"):
        return None
    scores = _scores(softmax.inputs[0])
    if scores is None:
        return None
    if site.facts.derivatives > 1:
        return "its derivative is differentiated"
    inner = (*between, softmax, *scores.nodes)
    if reason := site.outside_use(inner, (node, *inner)):
        return reason
    return _replacement(node, scores, inner, site, is_guarded=len(between) > 0)


def _softmax(weights: Value | None, site: Site) -> tuple[Node | None, tuple[Node, ...]]:
    """The softmax over keys that weights come from; nodes after it put 0 in the place of NaN."""
    node = weights.node if weights is not None else None
    guards: tuple[Node, ...] = ()
    if node is not None and is_onnx(node, "Where"):
        condition, zero, rest = node.inputs
        check = made_by(condition, "IsNaN")
        if check is None or check.inputs[0] is not rest:
            return None, ()
        array = constant_array(zero)
        if array is None or array.size != 1 or array.reshape(-1)[0] != 0 or rest is None:
            return None, ()
        guards, node = (node, check), rest.node
    if node is None or not is_onnx(node, "Softmax"):
        return None, ()
    axis, rank = argument(node, "axis"), site.facts.rank(node.inputs[0])
    return (node, guards) if axis == -1 or axis + 1 == rank else (None, ())


def _scores(value: Value | None) -> _Scores | None:
    node = value.node if value is not None else None
    if node is None:
        return None
    if is_onnx(node, "MatMul"):
        return _Scores(node, nodes=(node,))
    if is_onnx(node, "Add", "Where"):
        return next(_masked(node), None)
    return _scaled(node)


def _masked(node: Node) -> Iterator[_Scores]:
    """The ways to see a node as scores that are masked."""
    for inner, mask in _masks(node):
        found = _scores(inner)
        if found is not None:
            yield replace(found, masks=(*found.masks, mask), nodes=(node, *found.nodes))


def _masks(node: Node) -> Iterator[tuple[Value | None, _Mask]]:
    if is_onnx(node, "Add"):
        for inner, mask in (node.inputs, node.inputs[::-1]):
            if mask is not None:
                yield inner, _Mask(mask)
        return
    condition, one, other = node.inputs
    assert condition is not None
    if constant_array(other) is not None:
        yield one, _Mask(condition, other)
    if constant_array(one) is not None:
        yield other, _Mask(condition, one, visible=False)


def _scaled(node: Node) -> _Scores | None:
    """Scores multiplied by a number, before they are masked."""
    factor = _factor(node)
    found = _scores(factor[0]) if factor else None
    if factor is None or found is None or found.masks:
        return None
    return replace(found, scale=found.scale * factor[1], nodes=(node, *found.nodes))


def _factor(node: Node | None) -> tuple[Value, float] | None:
    """What a node multiplies by a constant number, and that number."""
    if node is None or not is_onnx(node, "Mul", "Div"):
        return None
    first, second = node.inputs[:2]
    if node.op_type == "Mul" and _number(second) is None:
        first, second = second, first
    number = _number(second)
    if number is None or first is None:
        return None
    if node.op_type == "Mul":
        return first, number
    return (first, 1 / number) if number else None


def _number(value: Value | None) -> float | None:
    array = constant_array(value)
    if array is None or array.size != 1 or array.dtype.kind != "f" or array.ndim > 1:
        return None
    return float(array.reshape(-1)[0])


def _replacement(
    node: Node, scores: _Scores, inner: tuple[Node, ...], site: Site, is_guarded: bool
) -> Outcome:
    build, v = _Build(site), node.inputs[1]
    q, by_q, outer_q = _unscaled(scores.product.inputs[0], site)
    k, by_k, outer_k = _keys(scores.product.inputs[1], build)
    if q is None or k is None or v is None:
        return None
    if reason := _misfit(node, scores, q, site):
        return reason
    mask = _combined(scores.masks, scores.product.outputs[0], build)
    if isinstance(mask, str):
        return mask
    (k, v), groups = _ungrouped(k, v, build)
    is_causal = mask.value is not None and _is_causal(mask.value, scores.product, site)
    empty = "none" if is_causal else mask.empty
    empty = "zero" if is_guarded and empty == "nan" else empty
    attributes = {"scale": scores.scale * by_q * by_k, "is_causal": is_causal, "empty": empty}
    inputs = [q, k, v]
    if mask.value is not None and not is_causal:
        shape = site.facts.shape(node.inputs[0])
        assert shape is not None  # or it is a misfit
        inputs.append(_prepared(mask.value, shape[-1], empty, build))
    fresh = make_fused("Attention", inputs, node.outputs[0], attributes)
    return Replacement([*build.nodes, fresh], fresh.outputs, (*inner, *outer_q, *outer_k, *groups))


def _prepared(mask: Value, keys: int, empty: str, build: _Build) -> Value:
    """A mask as the kernel takes it."""
    made = make_fused("AttentionMask", [mask], None, {"keys": keys, "empty": empty})
    build.nodes.append(made)
    known = build.site.facts.type(mask)
    if known is not None and known.shape is not None:
        ones = (1,) * (2 - len(known.shape))
        known = replace(known, shape=(*ones, *known.shape[:-1], keys))
    return build.site.facts.state(output_of(made), known)


def _unscaled(value: Value | None, site: Site) -> tuple[Value | None, float, tuple[Node, ...]]:
    """A value without the factor that it was multiplied by, and the node that multiplied it."""
    node = value.node if value is not None else None
    factor = _factor(node)
    if factor is None or node is None:
        return value, 1.0, ()
    covered = (node,) if site.is_only_use(value) else ()
    return *factor, covered


def _keys(value: Value | None, build: _Build) -> tuple[Value | None, float, tuple[Node, ...]]:
    """The keys, which the product takes with their last axes exchanged."""
    swapped, by, covered = _unscaled(value, build.site)
    node = swapped.node if swapped is not None else None
    rank = build.site.facts.rank(swapped)
    if swapped is None or rank is None:
        return None, 1.0, ()
    axes = list(range(rank))
    axes[-2:] = axes[:-3:-1]
    if node is None or not is_onnx(node, "Transpose"):
        return build.transpose(swapped, tuple(axes)), by, covered
    first = permutation(node, build.site)
    assert first is not None
    if build.site.is_only_use(swapped) and (covered or swapped is value):
        covered = (*covered, node)
    source = node.inputs[0]
    assert source is not None
    perm = tuple(first[axis] for axis in axes)
    inner, further, _ = _unscaled(source, build.site)
    if inner is not None and perm != tuple(range(rank)):
        inner = build.transpose(inner, perm)
    return inner, by * further, covered


def _misfit(node: Node, scores: _Scores, q: Value, site: Site) -> str:
    """The reason why the fused kernel does not compute what a group does."""
    k, v = scores.product.inputs[1], node.inputs[1]
    assert k is not None and v is not None
    shapes = [site.facts.shape(value) for value in (q, k, v)]
    shape_q, shape_k, shape_v = shapes
    if shape_q is None or shape_k is None or shape_v is None:
        return "the shapes of queries, keys and values are not known"
    outer, *others = shape_q[:-2], shape_k[:-2], shape_v[:-2]
    are_shared = len(outer) == 2 and others == [(outer[0], 1)] * 2
    if len(outer) not in (1, 2) or not (are_shared or others == [outer] * 2):
        return "queries, keys and values are not (batch, heads, length, size) alike"
    if 0 in (*shape_q, *shape_k, *shape_v):
        return "there are none"
    if len({site.facts.dtype(value) for value in (q, k, v)}) > 1:
        return "queries, keys and values are of different types"
    if site.facts.shape(node.inputs[0]) != (*shape_q[:-1], shape_k[-1]):
        return "a mask changes the shape of the scores"
    return ""


@dataclass(frozen=True, slots=True)
class _Combined:
    """The sum of all masks, and what is for queries that it shows no key: see the kernel."""

    value: Value | None = None
    empty: str = "none"


def _combined(masks: tuple[_Mask, ...], product: Value | None, build: _Build) -> _Combined | str:
    assert product is not None
    element = build.site.facts.dtype(product)
    total, kinds = None, set[str]()
    for mask in masks:
        value = _additive(mask, product, build)
        if isinstance(value, str):
            return value
        if build.site.facts.dtype(value) is not element:
            return "a mask is of another type than the scores"
        kinds.add("nan" if not _is_finite(value) else "mean" if mask.elsewhere else "none")
        total = value if total is None else build.add("Add", total, value)
    kinds.discard("none")
    if len(kinds) > 1:
        return "it is masked in two ways"
    return _Combined(total, kinds.pop() if kinds else "none")


def _additive(mask: _Mask, product: Value, build: _Build) -> Value | str:
    if mask.elsewhere is None:
        return mask.value
    number = _number(mask.elsewhere)
    element = build.site.facts.dtype(product)
    if number is None or number > -FAR or element is None:
        return "what takes the place of masked scores is no constant far below all others"
    numbers = (0, number) if mask.visible else (number, 0)
    zero_and_far = [np.array(each, element.numpy) for each in numbers]
    condition = constant_array(mask.value)
    if condition is not None:
        return constant(np.where(condition, *zero_and_far))
    made = build.add("Where", mask.value, *map(constant, zero_and_far))
    known = build.site.facts.type(mask.value)
    return build.site.facts.state(made, known and replace(known, dtype=element))


def _is_finite(value: Value) -> bool:
    array = constant_array(value)
    if array is not None:
        return bool(np.isfinite(array.astype(np.float64)).all())
    if not is_onnx(value.node, "Where") or value.node is None:
        return False
    arrays = [constant_array(each) for each in value.node.inputs[1:]]
    return all(array is not None and bool(np.isfinite(array).all()) for array in arrays)


def _is_causal(mask: Value, product: Node, site: Site) -> bool:
    """Whether a mask is known to show each query the keys up to its own position alone."""
    array, shape = constant_array(mask), site.facts.shape(product.outputs[0])
    if array is None or shape is None or array.ndim < 2 or array.shape[-2:] != shape[-2:]:
        return False
    length, keys = shape[-2:]
    if length != keys or prod(array.shape) != length * keys:
        return False
    plane = array.reshape(length, keys).astype(np.float64)
    seen = np.tri(length, dtype=bool)
    return bool((plane[seen] == 0).all() and (plane[~seen] <= -FAR).all())


def _ungrouped(k: Value, v: Value, build: _Build) -> tuple[tuple[Value, Value], tuple[Node, ...]]:
    """Keys and values without the copies that groups of queries share."""
    one, other = _repeated(k, build.site), _repeated(v, build.site)
    if one is None or other is None or one[1] != other[1]:
        return (k, v), ()
    nodes = (*one[2], *other[2])
    return (one[0], other[0]), nodes if one[0] is not other[0] else one[2]


def _repeated(value: Value, site: Site) -> tuple[Value, int, tuple[Node, ...]] | None:
    """What `Reshape(Expand(Unsqueeze(x)))` repeats along the heads, and how often."""
    chain: list[Node] = []
    source: Value | None = value
    for op_types in (("Reshape",), ("Expand", "Tile"), ("Unsqueeze", "Reshape")):
        node = made_by(source, *op_types)
        if node is None or not site.is_only_use(source):
            return None
        chain.append(node)
        source = node.inputs[0]
    shapes = [site.facts.shape(each) for each in (source, *(n.outputs[0] for n in chain)) if each]
    if source is None or len(shapes) < 4 or any(shape is None for shape in shapes):
        return None
    inner, whole, expanded, single = ((shape or ()) for shape in shapes)
    if len(inner) != 4 or single != (*inner[:2], 1, *inner[2:]):
        return None
    count = expanded[2] if len(expanded) == 5 else 0
    if expanded != (*inner[:2], count, *inner[2:]) or count == 0:
        return None
    if whole != (inner[0], inner[1] * count, *inner[2:]):
        return None
    return source, count, tuple(chain)
