"""Unique names."""

from collections.abc import Iterable

from hetu.ir.graph import Graph, Model, Value
from hetu.ir.walk import captures, graph_values, nested_graphs


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
    branches; where two files share a name, the second file's value gets another. Values made by
    hand get what is left, called after themselves or after the operator that makes or uses them.
    """
    values = dict.fromkeys(v for inner in nested_graphs(graph) for v in graph_values(inner))
    values |= dict.fromkeys(captures(graph))
    hints = _hints(graph)
    namer = Namer()
    in_file: dict[tuple[Model, str], str] = {}
    names: dict[Value, str] = {}
    for value in sorted(values, key=_precedence):
        if value.model is None or not value.name:
            names[value] = namer.unique(value.name or hints.get(value) or _stem(value))
            continue
        key = (value.model, value.name)
        if key not in in_file:
            in_file[key] = namer.unique(value.name)
        names[value] = in_file[key]
    return names


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
