"""The order of a file's nodes: kept where every value is produced before it is used."""

from collections.abc import Container, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter

import onnx

from hetu.errors import ModelError, show
from hetu.onnx.derivative import named_values
from hetu.onnx.nested import subgraphs

Scopes = Sequence[Container[str]]


def sorted_nodes(nodes: Sequence[onnx.NodeProto], scopes: Scopes) -> Sequence[onnx.NodeProto]:
    """The nodes in topological order; `scopes` hold the names that exist already.

    Raises `ModelError` where a value is used that nothing produces, or where nodes form a cycle.
    """
    if _is_sorted(nodes, scopes):
        return nodes
    producers: dict[str, int] = {
        name: i for i, node in enumerate(nodes) for name in node.output if name
    }
    needs = [_needed(node, producers, scopes) for node in nodes]
    try:
        TopologicalSorter(dict(enumerate(needs))).prepare()
    except CycleError as error:
        cycle = " -> ".join(_title(nodes[i]) for i in reversed(error.args[1][:8]))
        raise ModelError(f"the graph has a cycle: {cycle}") from error
    return [nodes[i] for i in _pulled_forward(needs)]


def _is_sorted(nodes: Sequence[onnx.NodeProto], scopes: Scopes) -> bool:
    """Whether no node uses what comes later or is not there: so it is in nearly every file."""
    made: set[str] = set()
    given: set[str] = set()
    for node in nodes:
        names = used_names(node) if node.attribute else node.input[:]
        given.update(name for name in names if name not in made)
        made.update(node.output[:])
    given.discard("")
    return given.isdisjoint(made) and all(any(n in scope for scope in scopes) for n in given)


def _pulled_forward(needs: Sequence[set[int]]) -> list[int]:
    """Positions in the order of the file, but for those that one before them needs."""
    order: dict[int, None] = {}
    pending = list(reversed(range(len(needs))))
    while pending:
        missing = sorted(needs[pending[-1]] - order.keys(), reverse=True)
        pending.extend(missing)
        if not missing:
            order.setdefault(pending.pop())
    return list(order)


def _needed(node: onnx.NodeProto, producers: dict[str, int], scopes: Scopes) -> set[int]:
    """The positions of the nodes that a node needs."""
    needed = set()
    for name in used_names(node):
        if name in producers:
            needed.add(producers[name])
        elif not any(name in scope for scope in scopes):
            raise ModelError(f"{_title(node)} uses {show(name)}, which nothing produces")
    return needed


def used_names(node: onnx.NodeProto) -> Iterator[str]:
    """The outer values that a node uses, those in its subgraphs included."""
    yield from filter(None, node.input)
    yield from named_values(node)
    for graph in subgraphs(node):
        yield from _captured_names(graph)


def _captured_names(graph: onnx.GraphProto) -> Iterator[str]:
    defined = {info.name for info in graph.input} | {tensor.name for tensor in graph.initializer}
    defined.update(tensor.values.name for tensor in graph.sparse_initializer)
    defined.update(name for node in graph.node for name in node.output)
    for node in graph.node:
        yield from (name for name in used_names(node) if name not in defined)
    yield from (info.name for info in graph.output if info.name not in defined)


def _title(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {show(node.name or next(iter(node.output), ''))}"
