"""Look-ups in many tables, side by side: one look-up in all of them, stacked."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from hetu.ir import Node, Value
from hetu.passes.build import constant, make_again, make_fused, output_of
from hetu.passes.facts import argument, constant_array, is_onnx, made_by
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.types import INT32, INT64

FEWEST = 4
"""Fewer look-ups are as fast one by one."""

LARGEST = 1 << 28
"""Tables of more bytes are not copied."""

_Lookup = tuple[Value, int, Value, tuple[Node, Node]]
"""Indices, the column, the table, and the nodes that choose column and rows."""


@fusion("Concat", inference_only=True)
def embeddings(node: Node, site: Site) -> Outcome:
    """Rows of tables for the columns of one input, put side by side."""
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
        why = _refusal(lookups, site) if len(lookups) >= FEWEST else "few"
        if why:
            inputs += [value for value, _ in run]
            reason = reason or (why if len(lookups) >= FEWEST else "")
            continue
        made = _joined(lookups, site)
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


def _refusal(lookups: Sequence[_Lookup], site: Site) -> str:
    indices, _, table, _ = lookups[0]
    element = site.facts.dtype(table)
    if site.facts.dtype(indices) not in (INT32, INT64) or element is None or not element.is_float:
        return "the tables hold no floats"
    shapes = [site.facts.shape(lookup[2]) or (0, 0) for lookup in lookups]
    if sum(rows * width for rows, width in shapes) * element.numpy.itemsize > LARGEST:
        return "the tables are too large to be copied"
    return ""


def _joined(lookups: Sequence[_Lookup], site: Site) -> list[Node]:
    stacked = make_fused("StackTables", [lookup[2] for lookup in lookups])
    sizes = np.array([(site.facts.shape(lookup[2]) or (0,))[0] for lookup in lookups])
    starts = sizes.cumsum() - sizes
    inputs = [lookups[0][0], output_of(stacked), constant(sizes - 1), constant(starts)]
    columns = {"columns": tuple(lookup[1] for lookup in lookups)}
    return [stacked, make_fused("Lookup", inputs, None, columns)]
