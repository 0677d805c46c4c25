"""Tables that are a product's weight, too: language models tie their largest weight so.

For look-ups, autograd makes a gradient of the whole table, zero in nearly all rows, and adds it to
the product's in new memory: what is looked up has a gradient of its own. Where nothing trains,
rows are taken out of the weight as it is packed for the product, so that it is in memory once.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

from hetu.ir import Graph, Node, Substitution, Value, dependencies, describe
from hetu.passes.build import make_fused, make_with, output_of
from hetu.passes.facts import Facts, argument, is_fused, is_onnx
from hetu.passes.fusion import Note
from hetu.passes.groups import replace_groups
from hetu.passes.watch import gradient_nodes, gradient_parts

LEAST = 1 << 18
"""Numbers that a table has at least: smaller ones gain nothing."""

LEAST_PACKED = 1 << 22
"""Numbers from which on the memory is worth it that rows of packed weights are read from afar."""

_Users = Mapping[Value, Sequence[Node]]


class _Tied(NamedTuple):
    """A table and what looks rows up in it."""

    table: Value
    lookups: Sequence[Node]


def tied_tables(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with gradients of rows, which are added to those of the products."""
    if facts.derivatives != 1:
        return graph, []
    gradients, tables = gradient_nodes(graph), _tables(graph, facts, LEAST)
    if not tables or len(gradients) != 1 or gradients[0] not in graph.nodes:
        return graph, []
    found = list(_tied_tables(graph, gradients[0], tables))
    if not found:
        return graph, []
    notes = [Note("tied table", describe(node)) for tied in found for node in tied.lookups]
    return _with_rows(graph, gradients[0], found), notes


def packed_tables(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with look-ups in weights as products have them, where nothing else needs them."""
    if not facts.moves_weights or not facts.is_inference:
        return graph, []
    tables = _tables(graph, facts, LEAST_PACKED)
    packings = _packings(graph, tables) if tables else {}
    if not packings:
        return graph, []
    places = {node: place for place, node in enumerate(graph.nodes)}
    groups: list[Sequence[Node]] = []
    packing_of = {node: packings[table] for table in packings for node in tables[table]}
    for table, packing in packings.items():
        first, *others = tables[table]
        is_first = places[first] < places[packing]  # what packs the weight moves before it
        groups += [(first, packing) if is_first else (first,), *((other,) for other in others)]

    def join(nodes: Sequence[Node], values: Substitution) -> Sequence[Node]:
        lookup, *moved = nodes
        given = [values.optional(lookup.inputs[1]), output_of(packing_of[lookup])]
        fresh = make_fused("PackedLookup", given, output_of(lookup))
        values[output_of(lookup)] = output_of(fresh)
        return [*moved, facts.follow(lookup, fresh)]

    notes = [Note("packed table", describe(nodes[0])) for nodes in groups]
    return replace_groups(graph, groups, join, facts), notes


def _packings(graph: Graph, tables: Mapping[Value, Sequence[Node]]) -> dict[Value, Node]:
    """What packs each of some tables whose only other uses are look-ups."""
    found: dict[Value, Node] = {}
    users = _users(graph)
    for table, lookups in tables.items():
        others = [node for node in users[table] if node not in lookups]
        if len(others) == 1 and table not in graph.outputs and _packs(others[0]):
            found[table] = others[0]
    return found


def _packs(node: Node) -> bool:
    """Whether a node packs a weight (outputs, inputs)."""
    names = "transposed", "packs"
    return is_fused(node, "PackLinear") and all(node.attributes[name].value for name in names)


def _users(graph: Graph) -> dict[Value, list[Node]]:
    """What uses each value."""
    users: dict[Value, list[Node]] = {}
    for node in graph.nodes:
        for value in dependencies(node):
            users.setdefault(value, []).append(node)
    return users


def _tables(graph: Graph, facts: Facts, least: int) -> dict[Value, list[Node]]:
    """Variables of at least so many numbers in which rows are looked up, and by what."""
    tables: dict[Value, list[Node]] = {}
    for node in graph.nodes:
        table = (*node.inputs, None)[0] if is_onnx(node, "Gather") else None
        if table is None or table.data is None or table.constant:
            continue
        if argument(node, "axis") not in (0, -2):
            continue
        if facts.rank(table) == 2 and prod(facts.shape(table) or ()) >= least:
            tables.setdefault(table, []).append(node)
    return tables


def _tied_tables(
    graph: Graph, gradient: Node, tables: Mapping[Value, Sequence[Node]]
) -> Iterator[_Tied]:
    users = _users(graph)
    variables = Counter(gradient_parts(gradient).variables)
    kept = {*graph.outputs, *variables}
    for table, rows in tables.items():
        lookups = [node for node in rows if node.outputs[0] not in kept]
        others = [node for node in users[table] if node is not gradient and node not in lookups]
        is_named_once = variables[table] == users[table].count(gradient) == 1
        is_tied = len(others) == 1 and _multiplies(others[0], table, users, kept)
        if lookups and is_named_once and is_tied and table not in graph.outputs:
            yield _Tied(table, lookups)


def _multiplies(node: Node, table: Value, users: _Users, kept: set[Value | None]) -> bool:
    """Whether a use is a product alone: the gradient that it gives is nobody else's."""
    if is_onnx(node, "Transpose") and node.outputs[0] not in kept:
        turned = output_of(node)
        after = users.get(turned, ())
        return len(after) == 1 and _is_factor(turned, after[0])
    return _is_factor(table, node)


def _is_factor(value: Value, node: Node) -> bool:
    is_product = is_onnx(node, "MatMul", "Gemm") or is_fused(node, "TrainedLinear")
    return is_product and value not in node.inputs[2:]


def _with_rows(graph: Graph, gradient: Node, found: Sequence[_Tied]) -> Graph:
    values, nodes = Substitution(), list[Node]()
    lookups = [node for tied in found for node in tied.lookups]
    rows: dict[Node, Value] = {}
    for node in graph.nodes:
        if node is gradient:
            nodes += _gradient(node, rows, found, values)
            continue
        fresh = values.node(node)
        nodes.append(fresh)
        if node in lookups:
            apart = make_fused("Detached", [output_of(fresh)], output_of(fresh))
            nodes.append(apart)
            rows[node] = values[output_of(node)] = output_of(apart)
    return values.graph(graph, nodes)


def _gradient(
    node: Node, rows: Mapping[Node, Value], found: Sequence[_Tied], values: Substitution
) -> list[Node]:
    """The node that takes gradients of rows as well, and those that add them up."""
    ys, xs, seeds = gradient_parts(node)
    given = [*(values[value] for value in (*ys, *xs)), *rows.values()]
    given += [values[seed] for seed in seeds]
    likes = [*node.outputs, *(None for _ in rows)]
    fresh = make_with(
        "Gradient", given, likes, node.attributes, domain="hetu", version=node.version
    )
    for old, new in zip(node.outputs, fresh.outputs, strict=False):
        if old is not None:
            values[old] = new
    of_rows = dict(zip(rows, fresh.outputs[len(xs) :], strict=True))
    nodes = [fresh]
    for table, lookups in found:
        old = node.outputs[xs.index(table)]
        if old is None:
            continue
        pairs = [v for each in lookups for v in (values.optional(each.inputs[1]), of_rows[each])]
        plus = make_fused("PlusRows", [values[old], *pairs], old)
        values[old] = output_of(plus)
        nodes.append(plus)
    return nodes
