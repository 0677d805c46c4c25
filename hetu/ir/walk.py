"""Ways through a graph. Nothing here recurses along the graph's depth."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from operator import attrgetter

from hetu.errors import UsageError, show
from hetu.ir.graph import Graph, Node, Value


def nested_graphs(graph: Graph) -> Iterator[Graph]:
    """The graph and every graph inside it, outer ones first."""
    pending = [graph]
    while pending:
        current = pending.pop()
        yield current
        pending.extend(g for node in current.nodes if node.attributes for g in node.graphs)


def captures(graph: Graph) -> tuple[Value, ...]:
    """The values of enclosing graphs that a body uses, in order of first use.

    A body's own variables are among them: they live outside of any one run of the body.
    """
    defined: set[Value] = set()
    used: dict[Value, None] = {}
    for inner in nested_graphs(graph):
        defined.update(inner.inputs)
        for node in inner.nodes:
            defined.update(value for value in node.outputs if value is not None)
            used.update((value, None) for value in node.inputs if value is not None)
            if node.function is not None:
                used.update((value, None) for value in node.function.captured)
        used.update((value, None) for value in inner.outputs if value is not None)
    return tuple(value for value in used if value not in defined)


def graph_values(graph: Graph) -> Iterator[Value]:
    """Every value that a graph itself lists or makes, in order."""
    yield from graph.inputs
    yield from graph.initializers
    for node in graph.nodes:
        yield from (value for value in node.outputs if value is not None)
    yield from graph.value_info


def dependencies(node: Node) -> Sequence[Value]:
    """Every value that a node needs: its inputs and what its bodies and its function capture."""
    values = node.inputs
    if None in values:
        values = tuple(value for value in values if value is not None)
    if node.attributes:
        for graph in node.graphs:
            values += captures(graph)
    if node.function is not None:
        values += node.function.captured
    return values  # pyright: ignore[reportReturnType]


def needed_nodes(outputs: Iterable[Value | None], inputs: Iterable[Value] = ()) -> tuple[Node, ...]:
    """The nodes behind some values, in topological order; those behind `inputs` are left out."""
    given = frozenset(inputs)
    found: set[Node] = set()
    pending = [value for value in outputs if value is not None]
    while pending:
        value = pending.pop()
        node = value.node
        if node is None or node in found or value in given:
            continue
        found.add(node)
        pending.extend(dependencies(node))
    return tuple(sorted(found, key=attrgetter("serial")))


def needed_leaves(
    outputs: Iterable[Value | None], inputs: Iterable[Value] = ()
) -> tuple[Value, ...]:
    """The feeds and variables behind some values, in the order they were made.

    `inputs` count as feeds where they are reached.
    """
    outputs, given = tuple(outputs), frozenset(inputs)
    return _leaves(outputs, given, needed_nodes(outputs, given))


def _leaves(
    outputs: Iterable[Value | None], given: Collection[Value], nodes: Iterable[Node]
) -> tuple[Value, ...]:
    reached = {value for value in outputs if value is not None}
    reached.update(chain.from_iterable(map(dependencies, nodes)))
    leaves = (value for value in reached if value.node is None or value in given)
    return tuple(sorted(leaves, key=attrgetter("serial")))


def graph_between(inputs: Sequence[Value], outputs: Sequence[Value]) -> Graph:
    """The graph that computes `outputs` from `inputs` alone, with these inputs in this order.

    Raises `UsageError` where another feed is needed.
    """
    graph = graph_of(outputs, inputs=inputs)
    missing = [value for value in graph.inputs if value not in inputs]
    if missing:
        raise UsageError(f"the outputs need {show(missing[0].name)}, which is not among the inputs")
    return replace(graph, inputs=tuple(inputs))


def graph_of(
    outputs: Iterable[Value | None], name: str = "", inputs: Iterable[Value] = ()
) -> Graph:
    """The graph behind some values: what they need and nothing else.

    Where values among `inputs` are reached, they are taken as given.
    """
    outputs, given = tuple(outputs), frozenset(inputs)
    nodes = needed_nodes(outputs, given)
    leaves = _leaves(outputs, given, nodes)
    return Graph(
        inputs=tuple(value for value in leaves if value.is_feed or value in given),
        outputs=outputs,
        nodes=nodes,
        initializers=tuple(v for v in leaves if not v.is_feed and v not in given),
        name=name,
    )
