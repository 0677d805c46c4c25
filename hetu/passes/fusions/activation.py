"""Activations as exporters spell them out."""

from math import isclose, pi, sqrt

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make, make_fused
from hetu.passes.facts import argument, constant_array, is_onnx
from hetu.passes.fusion import Outcome, Site, fusion, replaced
from hetu.passes.pattern import Any, Either, Operators, Term, makers, match
from hetu.types import FLOAT32, FLOAT64, dtype

_op = Operators()
_x = Any("x")


class _Near(float):
    """A number that a setting has to be close to: files hold it in single precision."""

    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and isclose(self, other, rel_tol=1e-6)


def _halved(inner: Term) -> Term:
    """`0.5 * x * inner`, in every grouping."""
    return Either((
        _op.Mul(_op.Mul(_x, inner), 0.5),
        _op.Mul(_op.Mul(_x, 0.5), inner),
        _op.Mul(_x, _op.Mul(inner, 0.5)),
        _op.Div(_op.Mul(_x, inner), 2.0),
    ))  # fmt: skip


_ERF = _op.Erf(Either((_op.Div(_x, sqrt(2)), _op.Mul(_x, 1 / sqrt(2)))))
_CUBE = Either((_op.Pow(_x, 3.0), _op.Mul(_op.Mul(_x, _x), _x)))
_SQUARE = Either((_op.Mul(_op.Mul(_x, _x), 0.044715), _op.Mul(_op.Mul(_x, 0.044715), _x)))
_TANH = _op.Tanh(
    Either(
        (
            _op.Mul(_op.Add(_x, _op.Mul(_CUBE, 0.044715)), sqrt(2 / pi)),
            _op.Mul(_x, _op.Add(_op.Mul(_op.Mul(_x, _x), 0.044715 * sqrt(2 / pi)), sqrt(2 / pi))),
            _op.Mul(_op.Mul(_x, sqrt(2 / pi)), _op.Add(_SQUARE, 1.0)),
        )
    )
)
GELU = _halved(_op.Add(_ERF, 1.0))
GELU_TANH = _halved(_op.Add(_TANH, 1.0))
SILU = _op.Mul(_x, _op.Sigmoid(_x))
_SIX = _op.Clip(_op.Add(_x, 3.0), min=0, max=6)
HARD_SWISH = Either((
    _op.Mul(_x, _op.HardSigmoid(_x, alpha=_Near(1 / 6), beta=_Near(0.5))),
    _op.Div(_op.Mul(_x, _SIX), 6.0),
    _op.Mul(_op.Mul(_x, _SIX), 1 / 6),
    _op.Mul(_x, Either((_op.Div(_SIX, 6.0), _op.Mul(_SIX, 1 / 6)))),
))  # fmt: skip
SOFTPLUS = _op.Log(_op.Add(_op.Exp(_x), 1.0))
MISH = _op.Mul(_x, _op.Tanh(_op.Softplus(_x)))


@fusion("Mul", "Div", after=makers(GELU) | makers(GELU_TANH))
def gelu(node: Node, site: Site) -> Outcome:
    """`x * (1 + erf(x / sqrt(2))) / 2`, or with tanh in the place of erf."""
    exact = _activation(node, site, GELU, "Gelu", approximate="none")
    return exact or _activation(node, site, GELU_TANH, "Gelu", approximate="tanh")


@fusion("Mul", after=makers(SILU))
def silu(node: Node, site: Site) -> Outcome:
    """`x * sigmoid(x)`."""
    return _activation(node, site, SILU, "Swish")


@fusion("Mul", "Div", after=makers(HARD_SWISH))
def hard_swish(node: Node, site: Site) -> Outcome:
    """`x * min(max(x + 3, 0), 6) / 6`."""
    return _activation(node, site, HARD_SWISH, "HardSwish")


@fusion("Mul", after=makers(MISH))
def mish(node: Node, site: Site) -> Outcome:
    """`x * tanh(softplus(x))`."""
    return _activation(node, site, MISH, "Mish")


@fusion("Log", after=makers(SOFTPLUS))
def softplus(node: Node, site: Site) -> Outcome:
    """`log(1 + exp(x))`, which overflows where the operator does not."""
    return _activation(node, site, SOFTPLUS, "Softplus")


def _activation(
    node: Node, site: Site, pattern: Term, op_type: str, **attributes: object
) -> Outcome:
    """One operator in the place of a group that looks like a pattern of `x`."""
    output = node.outputs[0]
    assert output is not None
    found = match(pattern, output)
    if found is None:
        return None
    x = found["x"]
    if found.rank and (site.facts.rank(x) or 0) < found.rank:
        return "the rank of its input is not known"
    if reason := site.outside_use(found.inner, found.nodes):
        return reason
    return replaced(node, make(op_type, [x], output, attributes), *found.inner)


_BOUNDS = {"Min": "Max", "Max": "Min"}


@fusion(*_BOUNDS, after=_BOUNDS, inference_only=True)
def clip(node: Node, site: Site) -> Outcome:
    """`min(max(x, low), high)`; at the bounds themselves, the gradients differ."""
    outer = _bounded(node, site)
    inner_node = outer[0].node if outer is not None else None
    if outer is None or inner_node is None or inner_node.op_type != _BOUNDS[node.op_type]:
        return None
    inner = _bounded(inner_node, site)
    if inner is None or site.outside_use([inner_node], [node]):
        return None
    bounds = {node.op_type: outer[1], inner_node.op_type: inner[1]}
    low, high = bounds["Max"], bounds["Min"]
    if not low <= high:  # then the order decides
        return None
    limits = [constant(np.asarray(bound).reshape(())) for bound in (low, high)]
    return replaced(node, make("Clip", [inner[0], *limits], node.outputs[0]), inner_node)


def _bounded(node: Node, site: Site) -> tuple[Value, np.ndarray] | None:
    """What a node compares with a constant number, and that number."""
    if not is_onnx(node, *_BOUNDS) or len(node.inputs) != 2:
        return None
    for x, bound in (node.inputs, node.inputs[::-1]):
        array = constant_array(bound)
        if x is None or array is None or array.size != 1 or not dtype(array.dtype).is_float:
            continue
        if (site.facts.rank(x) or 0) >= array.ndim and site.facts.dtype(x) is not None:
            return x, array.reshape(())
    return None


@fusion("Clip")
def trained_clip(node: Node, site: Site) -> Outcome:
    """Bounds that are known, with a gradient in one pass over memory."""
    element = site.facts.dtype(node.inputs[0])
    if not is_onnx(node, "Clip") or site.facts.is_inference or site.facts.compiles:
        return None
    if element not in (FLOAT32, FLOAT64):
        return None
    low, high = (_limit(node, name) for name in ("min", "max"))
    if low is None or high is None or not low <= high:
        return "its bounds are not known, or crossed"
    last = float(np.finfo(element.numpy).max)
    given = {"low": max(low, -last), "high": min(high, last)}
    return replaced(node, make_fused("Clip", node.inputs[:1], node.outputs[0], given))


def _limit(node: Node, name: str) -> float | None:
    """A bound of a `Clip`, infinite where it has none; None where it is not known."""
    try:
        bound = argument(node, name)
    except LookupError:
        return None
    if bound is None:
        return -np.inf if name == "min" else np.inf
    return float(bound)
