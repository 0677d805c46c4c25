"""Look-ups in many tables, side by side: one look-up in all of them."""

from collections.abc import Callable, Sequence
from itertools import groupby
from math import prod

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make_again, make_fused, make_with, output_of
from hetu.passes.facts import argument, constant_array, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.types import INT32, INT64

FEWEST = 4
"""Fewer look-ups are as fast one by one."""

LARGEST = 1 << 28
"""Tables of more bytes are left alone: it may take a copy to join them."""

_Lookup = tuple[Value, int, Value, tuple[Node, Node]]
"""Indices, the column, the table, and the nodes that choose column and rows."""

_Join = Callable[[Sequence[_Lookup], Site], list[Node] | str]
"""Makes one look-up of several of a kind; its last node has the result. Or the reason not to."""


@fusion("Concat", inference_only=True)
def embeddings(node: Node, site: Site) -> Outcome:
    """Rows of tables for the columns of one input, put side by side."""
    return _side_by_side(node, site, _as_one)


@fusion("Concat")
def trained_embeddings(node: Node, site: Site) -> Outcome:
    """Rows of tables that may train, for the columns of one input, put side by side."""
    return None if site.facts.is_inference else _side_by_side(node, site, _as_they_are)


def _side_by_side(node: Node, site: Site, join: _Join) -> Outcome:
    shape = site.facts.shape(node.outputs[0])
    if shape is None or not is_onnx(node, "Concat"):
        return None
    if argument(node, "axis") not in (-1, len(shape) - 1):
        return None
    found = [(value, _lookup(value, site)) for value in node.inputs]
    groups = [list(run) for _, run in groupby(found, lambda pair: pair[1] and _kind(pair[1], site))]
    nodes, inputs, covered, reason = [], [], [], ""
    for run in groups:
        lookups = [lookup for _, lookup in run if lookup is not None]
        made = _joined(lookups, site, join)
        if isinstance(made, str):
            inputs += [value for value, _ in run]
            reason = reason or made
            continue
        nodes += made
        inputs.append(output_of(made[-1]))
        covered += [each for lookup in lookups for each in lookup[3]]
    if not nodes:
        return reason or None
    fresh = make_again(node, inputs, node.outputs[0])
    return Replacement([*nodes, fresh], fresh.outputs, covered)


def _lookup(value: Value | None, site: Site) -> _Lookup | None:
    rows = made_by(value, "Gather")
    if rows is None or not site.is_only_use(value):
        return None
    table, chosen = rows.inputs
    column = made_by(chosen, "Gather")
    if table is None or table.data is None or argument(rows, "axis") != 0:
        return None
    if column is None or not site.is_only_use(chosen):
        return None
    indices, number = column.inputs
    at, shape = constant_array(number), site.facts.shape(indices)
    if indices is None or at is None or at.ndim or not shape or site.facts.rank(table) != 2:
        return None
    if argument(column, "axis") not in (-1, len(shape) - 1):
        return None
    return indices, int(at) % shape[-1], table, (rows, column)


def _kind(lookup: _Lookup, site: Site) -> tuple[object, ...]:
    """What look-ups have in common that can be joined."""
    indices, _, table, _ = lookup
    return indices, (site.facts.shape(table) or ())[1:], site.facts.dtype(table)


def _joined(lookups: Sequence[_Lookup], site: Site, join: _Join) -> list[Node] | str:
    """What `join` makes of look-ups that can be joined; "" where they are too few."""
    if len(lookups) < FEWEST:
        return ""
    indices, _, table, _ = lookups[0]
    element = site.facts.dtype(table)
    if site.facts.dtype(indices) not in (INT32, INT64) or element is None or not element.is_float:
        return "the tables hold no floats"
    return join(lookups, site)


def _as_one(lookups: Sequence[_Lookup], site: Site) -> list[Node] | str:
    """A look-up in all tables as one."""
    tables = [lookup[2] for lookup in lookups]
    if sum(_nbytes(table, site) for table in tables) > LARGEST:
        return "the tables are too large to be copied"
    joined = make_with("JoinTables", tables, [None] * 3)
    return [joined, make_fused("Lookup", [lookups[0][0], *joined.outputs], None, _columns(lookups))]


def _as_they_are(lookups: Sequence[_Lookup], site: Site) -> list[Node] | str:
    """A look-up in the tables themselves."""
    if site.facts.derivatives > 1:
        return "it is differentiated twice"
    if site.facts.compiles:
        return "torch.compile takes it as it is"
    inputs = [lookups[0][0], constant(_sizes(lookups, site)), *(lookup[2] for lookup in lookups)]
    return [make_fused("TrainedLookup", inputs, None, _columns(lookups))]


def _nbytes(table: Value, site: Site) -> int:
    shape, element = site.facts.shape(table), site.facts.dtype(table)
    return 0 if shape is None or element is None else prod(shape) * element.numpy.itemsize


def _sizes(lookups: Sequence[_Lookup], site: Site) -> np.ndarray:
    """The tables' numbers of rows."""
    return np.array([(site.facts.shape(lookup[2]) or (0,))[0] for lookup in lookups])


def _columns(lookups: Sequence[_Lookup]) -> dict[str, tuple[int, ...]]:
    return {"columns": tuple(lookup[1] for lookup in lookups)}
