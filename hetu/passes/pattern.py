"""Patterns: what a group of nodes looks like.

    ops = Operators()
    SILU = ops.Mul(x, ops.Sigmoid(x))        # with x = Any("x")

matches `x * sigmoid(x)` in either order of the factors. Numbers stand for constants of one element.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any as Anything

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.facts import argument, constant_array, makers_of
from hetu.types import dtype, short_domain

COMMUTATIVE = frozenset({"Add", "Mul", "Max", "Min", "And", "Or", "Equal"})


@dataclass(frozen=True, slots=True)
class Any:
    """Any value; the same one wherever the name stands."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """The first output of a node. `settings` are attributes, or inputs in some versions.

    `name`, where it is given, is what the match calls the node.
    """

    op_type: str
    inputs: tuple["Term", ...]
    settings: Mapping[str, Anything] = field(default_factory=dict)
    name: str = ""
    outlines: Mapping[str, list["Outline"]] = field(init=False)

    def __post_init__(self) -> None:
        makers = filter(None, map(_makers, self.inputs))
        object.__setattr__(self, "outlines", {self.op_type: [tuple(makers)]})


@dataclass(frozen=True, slots=True)
class Either:
    """One of several forms; the first that matches counts."""

    terms: tuple["Term", ...]
    outlines: Mapping[str, list["Outline"]] | None = field(init=False)

    def __post_init__(self) -> None:
        outlines: dict[str, list[Outline]] = {}
        for term in self.terms:
            for op_type, found in (_outlines(term) or {}).items():
                outlines.setdefault(op_type, []).extend(found)
        is_open = any(_outlines(term) is None for term in self.terms)
        object.__setattr__(self, "outlines", None if is_open else outlines)


Term = Any | Call | Either | float

Outline = tuple[frozenset[str], ...]
"""What is seen of a form at a glance: of each set, some operator makes an input of the node."""


def _outlines(term: Term) -> Mapping[str, list[Outline]] | None:
    """The outlines of a term's forms by the node's operator; None where any value may match."""
    return term.outlines if isinstance(term, Call | Either) else None


def _makers(term: Term) -> frozenset[str]:
    """The operators that can make what a term stands for; none where any can."""
    if isinstance(term, Call):
        return frozenset((term.op_type,))
    each = [_makers(part) for part in term.terms] if isinstance(term, Either) else []
    return frozenset().union(*each) if all(each) else frozenset()


def makers(pattern: Term) -> frozenset[str]:
    """Operators of which one makes an input of each node that a pattern fits; none if any may."""
    forms = [form for forms in (_outlines(pattern) or {}).values() for form in forms]
    each = [min(form, key=len, default=frozenset[str]()) for form in forms]
    return frozenset().union(*each) if all(each) else frozenset()


class Operators:
    """`Operators().Add(x, 1.0)` is a `Call`; `as_=` gives it a name."""

    def __getattr__(self, op_type: str) -> Anything:
        def call(*inputs: Term, as_: str = "", **settings: Anything) -> Call:
            return Call(op_type, inputs, settings, as_)

        return call


@dataclass(frozen=True, slots=True)
class Match:
    """The values that the names of a pattern stand for, and the nodes that it covers.

    `rank` is the highest among the constants that numbers stand for: what they are combined with
    keeps its shape if it has at least that rank.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    named: Mapping[str, Node] = field(default_factory=dict)
    nodes: tuple[Node, ...] = ()
    rank: int = 0

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    @property
    def inner(self) -> tuple[Node, ...]:
        """The nodes but the last one of the group."""
        return self.nodes[1:]


def match(term: Term, value: Value) -> Match | None:
    """How a value's computation fits a pattern; None where it does not."""
    return next(_match(term, value, Match()), None) if _is_likely(term, value.node) else None


def _is_likely(term: Term, node: Node | None) -> bool:
    """Whether a node looks, at a glance, as if it could match: most do not."""
    outlines = _outlines(term)
    if outlines is None:
        return True
    found = outlines.get(node.op_type) if node is not None else None
    if found is None or node is None:
        return False
    given = makers_of(node)
    return any(not any(map(given.isdisjoint, outline)) for outline in found)


def _match(term: Term, value: Value, found: Match) -> Iterator[Match]:
    match term:
        case Any(name):
            if found.values.get(name, value) is value:
                values = {**found.values, name: value}
                yield Match(values, found.named, found.nodes, found.rank)
        case Either(terms):
            for each in terms:
                yield from _match(each, value, found)
        case Call():
            yield from _match_call(term, value, found)
        case _:
            array = constant_array(value)
            if array is not None and _is_number(array, float(term)):
                rank = max(found.rank, array.ndim)
                yield Match(found.values, found.named, found.nodes, rank)


def _match_call(term: Call, value: Value, found: Match) -> Iterator[Match]:
    node = value.node
    if node is None or not _is_likely(term, node) or short_domain(node.domain):
        return
    if value.index != 0 or len(node.inputs) < len(term.inputs):
        return
    inputs = node.inputs[: len(term.inputs)]
    if None in inputs or not _agree(node, term):
        return
    named = {**found.named, term.name: node} if term.name else found.named
    nodes = found.nodes if node in found.nodes else (*found.nodes, node)
    start = Match(found.values, named, nodes, found.rank)
    orders = [inputs]
    if term.op_type in COMMUTATIVE and len(inputs) == 2:
        orders.append(inputs[::-1])
    for order in orders:
        pairs = sorted(zip(term.inputs, order, strict=True), key=_cost)
        yield from _match_all(pairs, start)  # pyright: ignore[reportArgumentType]


def _match_all(pairs: Sequence[tuple[Term, Value]], found: Match) -> Iterator[Match]:
    if not pairs:
        yield found
        return
    (term, value), *others = pairs
    for first in _match(term, value, found):
        yield from _match_all(others, first)


def _cost(pair: tuple[Term, Value | None]) -> int:
    """What is told at a glance comes first: most groups of nodes do not fit."""
    return 0 if isinstance(pair[0], float) else 1 if isinstance(pair[0], Any) else 2


def _agree(node: Node, term: Call) -> bool:
    try:
        return all(argument(node, name) == wanted for name, wanted in term.settings.items())
    except LookupError:
        return False


def _is_number(array: np.ndarray, number: float) -> bool:
    """Whether an array holds nothing but `number`, as exactly as its type can."""
    if array.size != 1 or not (dtype(array.dtype).is_float):
        return False
    tolerance = 1e-6 if array.itemsize > 2 else 1e-2
    return isclose(float(array.reshape(-1)[0]), number, rel_tol=tolerance)
