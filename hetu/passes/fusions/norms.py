"""Normalizations over the last axes as exporters spell them out.

First the quotient becomes a normalization with the scale 1; then a factor becomes its scale, a
summand its bias.
"""

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, make_again, output_of
from hetu.passes.facts import argument, axes_of, constant_array, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion, replaced
from hetu.passes.pattern import Any, Either, Match, Operators, Term, makers, match

_op = Operators()
_x, _epsilon = Any("x"), Any("epsilon")


def _mean(term: Term, name: str) -> Term:
    """A mean over axes; the node is called `name`."""
    return _op.ReduceMean(term, as_=name, keepdims=1)


def _square(term: Term) -> Term:
    return Either((_op.Pow(term, 2.0), _op.Mul(term, term)))


def _over_root(term: Term, square: Term) -> Term:
    """`term / sqrt(square + epsilon)`, in every spelling."""
    total = _op.Add(square, _epsilon)
    root = Either((_op.Sqrt(total), _op.Pow(total, 0.5)))
    inverse = Either((_op.Reciprocal(root), _op.Div(1.0, root), _op.Pow(total, -0.5)))
    return Either((_op.Div(term, root), _op.Mul(term, inverse)))


_CENTERED = _op.Sub(_x, _mean(_x, "mean"))
LAYER_NORM = _over_root(_CENTERED, _mean(_square(_CENTERED), "variance"))
_MEAN = _mean(_x, "mean")
_ROOT = _op.Sqrt(_op.Add(_mean(_square(_CENTERED), "variance"), _epsilon))
_FACTOR = _op.Mul(_op.Reciprocal(_ROOT), Any("scale"))
_SHIFT = Either((_op.Mul(_op.Neg(_MEAN), _FACTOR), _op.Neg(_op.Mul(_MEAN, _FACTOR))))
_SHIFTS = Either((
    _op.Add(_SHIFT, Any("bias")), _op.Sub(Any("bias"), _op.Mul(_MEAN, _FACTOR)), _SHIFT,
))  # fmt: skip
SHIFTED_LAYER_NORM = Either((
    _op.Add(_op.Mul(_x, _FACTOR), _SHIFTS),
    _op.Sub(_op.Mul(_x, _FACTOR), _op.Mul(_MEAN, _FACTOR)),
))  # fmt: skip
RMS_NORM = _over_root(_x, _mean(_square(_x), "variance"))


@fusion("Div", "Mul", after=makers(LAYER_NORM))
def layer_norm(node: Node, site: Site) -> Outcome:
    """`(x - mean) / sqrt(variance + epsilon)` over the last axes."""
    return _normalized(node, site, LAYER_NORM, "LayerNormalization")


@fusion("Add", "Sub", after=makers(SHIFTED_LAYER_NORM))
def shifted_layer_norm(node: Node, site: Site) -> Outcome:
    """`x * factor + (bias - mean * factor)`, as TensorFlow has it."""
    return _normalized(node, site, SHIFTED_LAYER_NORM, "LayerNormalization")


@fusion("Div", "Mul", after=makers(RMS_NORM))
def rms_norm(node: Node, site: Site) -> Outcome:
    """`x / sqrt(mean(x * x) + epsilon)` over the last axes."""
    return _normalized(node, site, RMS_NORM, "RMSNormalization")


def _normalized(node: Node, site: Site, pattern: Term, op_type: str) -> Outcome:
    output = node.outputs[0]
    assert output is not None
    found = match(pattern, output)
    if found is None:
        return None
    x = found["x"]
    axes = {axes_of(mean, site.facts.rank(x)) for mean in found.named.values()}
    (last, *others) = axes
    if others or last is None or last != tuple(range(-len(last), 0)) or not last:
        return "its means are not known to be over the same last axes"
    if reason := _refusal(found, site):
        return reason
    epsilon = constant_array(found["epsilon"])
    assert epsilon is not None
    attributes = {"axis": -len(last), "epsilon": float(epsilon.reshape(-1)[0])}
    parameters = [found.values[name] for name in ("scale", "bias") if name in found.values]
    nodes = [_flattened(each, len(last), site.facts.rank(x), site) for each in parameters]
    if None in nodes:
        return "its scale or bias has more axes than are normalized"
    flat = [output_of(each) for each in nodes if each is not None]
    fresh = make(op_type, [x, *(flat or [_ones(x, len(last), site)])], output, attributes)
    return Replacement([*(n for n in nodes if n is not None), fresh], fresh.outputs, found.inner)


def _flattened(parameter: Value, count: int, rank: int | None, site: Site) -> Node | None:
    """A scale or bias without axes of size 1 before the last `count`; None where there are more."""
    shape = site.facts.shape(parameter)
    if shape is None or len(shape) > max(rank or 0, count) or any(n != 1 for n in shape[:-count]):
        return None
    wanted = constant(np.array(shape[-count:], np.int64))
    return make("Reshape", [parameter, wanted], None, {"allowzero": 1})


def _refusal(found: Match, site: Site) -> str:
    x, epsilon = found["x"], constant_array(found["epsilon"])
    rank, element = site.facts.rank(x), site.facts.dtype(x)
    if epsilon is None or epsilon.size != 1:
        return "what is added under the root is no constant number"
    if element is None or not element.is_float:
        return "the type of its input is not known"
    if max(found.rank, epsilon.ndim) > (rank or 0):
        return "the rank of its input is not known"
    return site.outside_use(found.inner, found.nodes)


def _ones(x: Value, count: int, site: Site) -> Value:
    """The scale 1 of the last axes; a number where their sizes are not known."""
    shape, element = site.facts.shape(x), site.facts.dtype(x)
    assert element is not None
    return constant(np.ones(() if shape is None else shape[-count:], element.numpy))


def _normalization(value: Value | None, site: Site, *op_types: str) -> Node | None:
    """The normalization that a value comes from, if it is needed only here."""
    node = made_by(value, *op_types)
    if node is None or len(node.outputs) > 1:
        return None
    return node if site.is_only_use(value) else None


def _fits(parameter: Value, normalization: Node, site: Site) -> bool:
    """Whether a scale or bias has no more axes than are normalized, and their type."""
    rank, axis = site.facts.rank(parameter), argument(normalization, "axis")
    x = normalization.inputs[0]
    if rank is None or x is None or site.facts.dtype(x) is not site.facts.dtype(parameter):
        return False
    if axis < 0:
        return rank <= -axis
    whole = site.facts.rank(x)
    return whole is not None and rank <= whole - axis


@fusion("Mul", after=["LayerNormalization", "RMSNormalization"])
def norm_scale(node: Node, site: Site) -> Outcome:
    """A factor after a normalization with the scale 1 and no bias."""
    for value, scale in (node.inputs, node.inputs[::-1]):
        before = _normalization(value, site, "LayerNormalization", "RMSNormalization")
        if before is None or scale is None or scale is value or len(before.inputs) != 2:
            continue
        ones = constant_array(before.inputs[1])
        if ones is None or not np.all(ones == 1) or not _fits(scale, before, site):
            continue
        inputs = (before.inputs[0], scale)
        return replaced(node, make_again(before, inputs, node.outputs[0]), before)
    return None


@fusion("Add", after=["LayerNormalization"])
def norm_bias(node: Node, site: Site) -> Outcome:
    """A summand after a normalization without a bias."""
    for value, bias in (node.inputs, node.inputs[::-1]):
        before = _normalization(value, site, "LayerNormalization")
        if before is None or bias is None or bias is value or len(before.inputs) != 2:
            continue
        if not _fits(bias, before, site):
            continue
        inputs = (*before.inputs, bias)
        return replaced(node, make_again(before, inputs, node.outputs[0]), before)
    return None
