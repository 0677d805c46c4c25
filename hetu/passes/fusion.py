"""Replaces groups of nodes by nodes that compute the same faster.

A fusion is a function of one node, the last of the group, and of a `Site`. It returns a
`Replacement`, the reason why a group that looks right is left as it is, or None.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from hetu.ir import Graph, Node, Substitution, Value, dependencies, describe
from hetu.ops.registry import FUSED
from hetu.passes.facts import Facts, makers_of
from hetu.passes.prune import prune
from hetu.types import short_domain


@dataclass(frozen=True, slots=True)
class Replacement:
    """The nodes that come instead of a node, and its outputs now.

    `covered` are the nodes whose results nothing needs any more, beside the node itself.
    """

    nodes: Sequence[Node]
    outputs: Sequence[Value | None]
    covered: Sequence[Node] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """What became of a group of nodes: `reason` says why it was left as it is, "" if it was not."""

    fusion: str
    node: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.fusion}: {self.node}" + (f" not, {self.reason}" if self.reason else "")


class Explanation(list[Note]):
    """The notes of a plan; as text, a line for each fusion, and for each reason with its nodes."""

    def __str__(self) -> str:
        groups: dict[str, dict[str, list[str]]] = {}
        for note in self:
            groups.setdefault(note.fusion, {}).setdefault(note.reason, []).append(note.node)
        lines = []
        for name in sorted(groups):
            reasons = groups[name]
            lines.append(f"{name}: {len(reasons.pop('', ()))} fused")
            lines += [f"    {len(n)} not, {reason}: {_some(n)}" for reason, n in reasons.items()]
        return "\n".join(lines) or "nothing was found to make faster"


def _some(nodes: Sequence[str], count: int = 3) -> str:
    shown = ", ".join(nodes[:count])
    return shown if len(nodes) <= count else f"{shown} and {len(nodes) - count} more"


class Site:
    """What a fusion sees of the graph around a node."""

    def __init__(self, facts: Facts, uses: Counter[Value], kept: set[Value]) -> None:
        self.facts = facts
        self._uses = uses
        self._kept = kept

    def is_only_use(self, value: Value | None, count: int = 1) -> bool:
        """Whether nothing but `count` uses, those that the fusion sees, needs the value."""
        return value is not None and value not in self._kept and self._uses[value] <= count

    def is_kept(self, value: Value | None) -> bool:
        """Whether results or gradients refer to this very value."""
        return value in self._kept

    def outside_use(self, nodes: Iterable[Node], inside: Iterable[Node]) -> str:
        """The reason not to fuse where results of `nodes` are used beside the group; else ""."""
        seen = Counter(v for node in inside for v in dependencies(node))
        for node in nodes:
            for value in node.outputs:
                if value is not None and not self.is_only_use(value, seen[value]):
                    return f"the result of {describe(node)} is used elsewhere too"
        return ""


Outcome = Replacement | str | None


@dataclass(frozen=True, slots=True)
class Fusion:
    """A fusion, and the operators of ai.onnx or hetu.fused that it is tried on.

    Where `after` names any, one of these makes an input of the node.
    """

    name: str
    op_types: frozenset[str]
    after: frozenset[str]
    apply: Callable[[Node, Site], Outcome]
    inference_only: bool = False


def fusion(
    *op_types: str, after: Collection[str] = (), inference_only: bool = False
) -> Callable[[Callable[[Node, Site], Outcome]], Fusion]:
    """Make a fusion, called after its function, of nodes that end with one of these operators."""

    def wrap(function: Callable[[Node, Site], Outcome]) -> Fusion:
        name = function.__name__.replace("_", " ")
        return Fusion(name, frozenset(op_types), frozenset(after), function, inference_only)

    return wrap


_DOMAINS = ("", FUSED)


def fuse(
    graph: Graph, fusions: Sequence[Fusion], facts: Facts, kept: Iterable[Value] = ()
) -> tuple[Graph, list[Note]]:
    """The graph after one walk from its inputs to its outputs; the values `kept` stay."""
    walk = _Walk(graph, fusions, facts, {*kept, *(v for v in graph.outputs if v is not None)})
    nodes = [new for node in graph.nodes for new in walk.node(node)]
    if not walk.replaces:
        return graph, walk.notes
    return prune(walk.values.graph(graph, nodes)), walk.notes


@dataclass(slots=True)
class _Walk:
    graph: Graph
    fusions: Sequence[Fusion]
    facts: Facts
    kept: set[Value]
    values: Substitution = field(default_factory=Substitution)
    notes: list[Note] = field(default_factory=list)
    replaces: bool = False
    uses: Counter[Value] = field(init=False)
    site: Site = field(init=False)
    by_operator: Mapping[str, list[Fusion]] = field(init=False)

    def __post_init__(self) -> None:
        self.uses = Counter(chain.from_iterable(map(dependencies, self.graph.nodes)))
        self.site = Site(self.facts, self.uses, self.kept)
        table: dict[str, list[Fusion]] = {}
        for each in self.fusions:
            if self.facts.is_inference or not each.inference_only:
                for op_type in each.op_types:
                    table.setdefault(op_type, []).append(each)
        self.by_operator = table

    def node(self, original: Node) -> Sequence[Node]:
        """What stands for a node of the old graph."""
        node = self.values.node(original)
        if node is not original:
            for old, new in zip(original.outputs, node.outputs, strict=True):
                self._follow(old, new)
        if node.op_type not in self.by_operator:
            return (node,)
        before: list[Node] = []
        while True:
            found = self._replacement(node)
            if found is None:
                return [*before, node]
            self._take(original, node, found)
            if not found.nodes:
                return before
            *new, last = found.nodes
            before += new
            if last.outputs != tuple(found.outputs) or last is node:
                return [*before, last]
            node = last

    def _replacement(self, node: Node) -> Replacement | None:
        if short_domain(node.domain) not in _DOMAINS:
            return None
        makers = makers_of(node)
        for each in self.by_operator.get(node.op_type, ()):
            if each.after and each.after.isdisjoint(makers):
                continue
            outcome = each.apply(node, self.site)
            if outcome is None:
                continue
            reason = outcome if isinstance(outcome, str) else ""
            self.notes.append(Note(each.name, describe(node), reason))
            if isinstance(outcome, Replacement):
                return outcome
        return None

    def _take(self, original: Node, node: Node, found: Replacement) -> None:
        self.replaces = True
        for gone in (node, *found.covered):
            self.uses.subtract(dependencies(gone))
        self.uses.update(v for new in found.nodes for v in dependencies(new))
        for first, old, new in zip(original.outputs, node.outputs, found.outputs, strict=False):
            if first is not None:
                self.values[first] = new
            if old is not None and old is not first:
                self.values[old] = new
            self._follow(old, new)

    def _follow(self, old: Value | None, new: Value | None) -> None:
        if old is None or new is None or old is new:
            return
        self.facts.carry(old, new)
        self.uses[new] += self.uses[old]
        if old in self.kept:
            self.kept.add(new)


def replaced(node: Node, new: Node, *covered: Node) -> Replacement:
    """One node in the place of another, and of those that it covers."""
    return Replacement([new], new.outputs, covered)
