"""Activations as exporters spell them out."""

from math import isclose, pi, sqrt

from hetu.ir import Node
from hetu.passes.build import make
from hetu.passes.fusion import Outcome, Site, fusion, replaced
from hetu.passes.pattern import Any, Either, Match, Operators, Term, match

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
_TANH = _op.Tanh(
    Either(
        (
            _op.Mul(_op.Add(_x, _op.Mul(_CUBE, 0.044715)), sqrt(2 / pi)),
            _op.Mul(_x, _op.Add(_op.Mul(_op.Mul(_x, _x), 0.044715 * sqrt(2 / pi)), sqrt(2 / pi))),
            _op.Mul(_op.Mul(_x, sqrt(2 / pi)), _op.Add(_op.Mul(_op.Mul(_x, _x), 0.044715), 1.0)),
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
MISH = _op.Mul(_x, _op.Tanh(_op.Softplus(_x)))


@fusion("Mul", "Div")
def gelu(node: Node, site: Site) -> Outcome:
    """`x * (1 + erf(x / sqrt(2))) / 2`, or with tanh in the place of erf."""
    output = node.outputs[0]
    assert output is not None
    for pattern, approximate in ((GELU, "none"), (GELU_TANH, "tanh")):
        found = match(pattern, output)
        if found is not None:
            return _activation(node, found, site, "Gelu", approximate)
    return None


@fusion("Mul")
def silu(node: Node, site: Site) -> Outcome:
    """`x * sigmoid(x)`."""
    output = node.outputs[0]
    assert output is not None
    found = match(SILU, output)
    return None if found is None else _activation(node, found, site, "Swish")


@fusion("Mul", "Div")
def hard_swish(node: Node, site: Site) -> Outcome:
    """`x * min(max(x + 3, 0), 6) / 6`."""
    output = node.outputs[0]
    assert output is not None
    found = match(HARD_SWISH, output)
    return None if found is None else _activation(node, found, site, "HardSwish")


@fusion("Mul")
def mish(node: Node, site: Site) -> Outcome:
    """`x * tanh(softplus(x))`."""
    output = node.outputs[0]
    assert output is not None
    found = match(MISH, output)
    return None if found is None else _activation(node, found, site, "Mish")


def _activation(
    node: Node, found: Match, site: Site, op_type: str, approximate: str | None = None
) -> Outcome:
    x = found["x"]
    if found.rank and (site.facts.rank(x) or 0) < found.rank:
        return "the rank of its input is not known"
    if reason := site.outside_use(found.inner, found.nodes):
        return reason
    return replaced(
        node, make(op_type, [x], node.outputs[0], {"approximate": approximate}), *found.inner
    )
