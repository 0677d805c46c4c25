"""Other values in the place of some that a graph computes."""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError

from hetu.ir.graph import Node, Value
from hetu.ir.rewrite import Substitution
from hetu.ir.walk import dependencies, needed_nodes

Task = tuple[Node, Value | None]
"""A node to copy; within the stand-in of the given value, where there is one."""


def substitute(values: Iterable[Value], replacements: Mapping[Value, Value]) -> dict[Value, Value]:
    """What each of `values` becomes with `replacements[v]` in the place of every `v`.

    A stand-in may be computed from the value it stands in for: there, that value stays what it is.
    Everything else behind stand-ins is replaced too. Nodes that nothing changes for are shared, the
    others copied. Raises `graphlib.CycleError` where stand-ins need each other.
    """
    copies = _Copies(replacements)
    return {value: copies.find(value) for value in values}


class _Copies:
    def __init__(self, replacements: Mapping[Value, Value]) -> None:
        self._replacements = replacements
        self._between = {old: _between(old, new) for old, new in replacements.items()}
        self._done: dict[Task, Node] = {}

    def find(self, value: Value) -> Value:
        """The value's stand-in, or its copy, or itself."""
        source, task = self._source(value, None)
        if task is not None:
            self._copy(task)
        return self._result(source, task)

    def _source(self, value: Value, inside: Value | None) -> tuple[Value, Task | None]:
        """What to take for a value that is used in the stand-in of `inside`, and who makes it."""
        if value in self._replacements and value is not inside:
            value, inside = self._replacements[value], value
        if value.node is None:
            return value, None
        is_between = inside is not None and value.node in self._between[inside]
        return value, (value.node, inside if is_between else None)

    def _result(self, source: Value, task: Task | None) -> Value:
        if task is None:
            return source
        output = self._done[task].outputs[source.index]
        assert output is not None
        return output

    def _needs(self, task: Task) -> Iterator[Task]:
        node, inside = task
        for value in dependencies(node):
            needed = self._source(value, inside)[1]
            if needed is not None and needed not in self._done:
                yield needed

    def _copy(self, target: Task) -> None:
        """Copy a node after everything it needs, without recursion."""
        pending, started = [target], set()
        while pending:
            task = pending[-1]
            needs = [] if task in self._done else list(dict.fromkeys(self._needs(task)))
            if needs and task in started:
                raise CycleError("the stand-ins need each other", [t[0] for t in needs])
            if needs:
                started.add(task)
                pending.extend(reversed(needs))
                continue
            pending.pop()
            if task not in self._done:
                self._done[task] = self._rebuilt(*task)

    def _rebuilt(self, node: Node, inside: Value | None) -> Node:
        pairs = [(v, self._result(*self._source(v, inside))) for v in dependencies(node)]
        changed = {old: new for old, new in pairs if old is not new}
        keeps_shapes = all(old.type == new.type for old, new in changed.items())
        return Substitution(changed).node(node, keeps_shapes)


def _between(old: Value, new: Value) -> set[Node]:
    """The nodes through which `new` depends on `old`."""
    found: set[Node] = set()
    for node in needed_nodes([new], [old]):
        if any(value is old or value.node in found for value in dependencies(node)):
            found.add(node)
    return found
