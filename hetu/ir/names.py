"""Unique names."""

from collections.abc import Iterable

from hetu.errors import show
from hetu.ir.graph import Graph, Model, Node, Value
from hetu.ir.walk import captures, graph_values, nested_graphs


def describe(node: Node) -> str:
    """A node as messages name it."""
    outputs = [value.name for value in node.outputs if value is not None and value.name]
    name = node.name or (outputs[0] if outputs else "")
    return f"{node.operator} {show(name)}" if name else node.operator


class Namer:
    """Hands out names that differ from all the others it knows."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def unique(self, stem: str) -> str:
        """`stem` itself where it is free, else `stem_1`, `stem_2`, ..."""
        name = stem
        while not name or name in self._taken:
            self._next[stem] = self._next.get(stem, 0) + 1
            name = f"{stem}_{self._next[stem]}"
        self._taken.add(name)
        return name


def unique_names(values: Iterable[Value]) -> dict[Value, str]:
    """A name for each value: its own where it is the first to bear it."""
    namer = Namer()
    return {value: namer.unique(value.name or _stem(value)) for value in values}


def name_values(graph: Graph) -> dict[Value, str]:
    """A name for every value in a graph and in the graphs inside it.

    Values of a file keep their names, also where a name stands for different values in different
    branches. A second value of that name in one graph, a copy or another file's, gets another.
    Values made by hand get what is left, called after themselves or after the operator that makes
    or uses them.
    """
    homes = _homes(graph)
    hints = _hints(graph)
    namer = Namer()
    in_file: dict[tuple[Model, str], str] = {}
    taken: set[tuple[Graph, str]] = set()
    names: dict[Value, str] = {}
    for value in sorted(homes, key=_precedence):
        name = in_file.get((value.model, value.name)) if value.model and value.name else None
        if name is None or any((home, name) in taken for home in homes[value]):
            name = namer.unique(value.name or hints.get(value) or _stem(value))
        if value.model and value.name:
            in_file.setdefault((value.model, value.name), name)
        taken.update((home, name) for home in homes[value])
        names[value] = name
    return names


def _homes(graph: Graph) -> dict[Value, list[Graph]]:
    """Every value with the graphs that hold it; what comes from outside counts as the graph's."""
    homes: dict[Value, list[Graph]] = {}
    for inner in nested_graphs(graph):
        for value in dict.fromkeys(graph_values(inner)):
            homes.setdefault(value, []).append(inner)
    for value in captures(graph):
        homes.setdefault(value, [graph])
    return homes


def _precedence(value: Value) -> int:
    """Values of files choose first, then values with a name."""
    return 0 if value.model is not None else 1 if value.name else 2


def _hints(graph: Graph) -> dict[Value, str]:
    """What to call nameless constants: after the operator that uses them first."""
    hints: dict[Value, str] = {}
    for inner in nested_graphs(graph):
        for node in inner.nodes:
            for value in node.inputs:
                if value is not None and value.node is None and not value.name:
                    hints.setdefault(value, f"{node.op_type}_constant")
    return hints


def _stem(value: Value) -> str:
    return value.node.op_type if value.node else "input" if value.is_feed else "constant"
