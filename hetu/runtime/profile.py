"""What the nodes of a plan cost."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hetu.files import write_all, write_file
from hetu.tables import draw


@dataclass(frozen=True, slots=True)
class NodeProfile:
    """What one node costs in a run; times are in seconds.

    `operator` is `domain.op_type`. `shapes` are those of the outputs in the last run, None where
    there is none or it is no tensor; `nbytes` is the memory that the outputs take. A node in a loop
    is called several times in a run, one in a branch that is not taken never. `seconds` and
    `fastest` are the mean and the least time over the runs, without nodes inside of this one.
    `share` is its part of a run, and `backward_seconds` the part of `Gradient` nodes that
    derivatives of this node take; on a GPU, to start them.
    """

    name: str
    operator: str
    shapes: tuple[tuple[int, ...] | None, ...]
    nbytes: int
    calls: float
    seconds: float
    fastest: float
    share: float
    backward_seconds: float


@dataclass(frozen=True, slots=True)
class OperatorProfile:
    """What all nodes of an operator cost in a run, as `NodeProfile` says."""

    operator: str
    count: int
    nbytes: int
    seconds: float
    share: float
    backward_seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """What a subgraph costs: `nodes` in the order of the plan, `seconds` of a run on average.

    `peak_nbytes` is the most memory that a run holds at once, feeds and variables left out.
    """

    nodes: tuple[NodeProfile, ...]
    runs: int
    seconds: float
    fastest: float
    peak_nbytes: int
    trace: Mapping[str, Any]

    def by_operator(self) -> list[OperatorProfile]:
        """The totals of operators, the slowest first."""
        groups: dict[str, list[NodeProfile]] = {}
        for node in self.nodes:
            groups.setdefault(node.operator, []).append(node)
        totals = (
            OperatorProfile(
                operator, len(nodes), sum(n.nbytes for n in nodes), sum(n.seconds for n in nodes),
                sum(n.share for n in nodes), sum(n.backward_seconds for n in nodes),
            )
            for operator, nodes in groups.items()
        )  # fmt: skip
        return sorted(totals, key=lambda total: -total.seconds)

    def table(self, count: int | None = None) -> str:
        """The nodes, or the `count` slowest, as a table, the slowest first; times in ms."""
        slowest = sorted(self.nodes, key=lambda node: -node.seconds)[:count]
        titles = ("node", "operator", "outputs", "ms", "fastest", "share", "backward", "memory")
        return draw([titles, *map(_row, slowest)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the Chrome trace of the runs, for chrome://tracing, Perfetto and the like.

        Raises `UsageError` where the path cannot be written to, `StorageError` on a full disk.
        """
        text = json.dumps(self.trace)
        write_file(Path(path), lambda file: write_all(file, text.encode()))

    def __str__(self) -> str:
        titles = ("operator", "nodes", "ms", "share", "backward", "memory")
        facts = (
            f"{self.runs} runs of {_ms(self.seconds)} ms, the fastest {_ms(self.fastest)} ms; "
            f"at most {_size(self.peak_nbytes)} at once"
        )
        return "\n".join([self.table(), draw([titles, *map(_total, self.by_operator())]), facts])


def _total(total: OperatorProfile) -> Sequence[str]:
    return (
        total.operator, str(total.count), _ms(total.seconds), f"{total.share:.1%}",
        _ms(total.backward_seconds), _size(total.nbytes),
    )  # fmt: skip


def _row(node: NodeProfile) -> Sequence[str]:
    shapes = " ".join("-" if shape is None else str(list(shape)) for shape in node.shapes)
    return (
        node.name, node.operator, shapes, _ms(node.seconds), _ms(node.fastest),
        f"{node.share:.1%}", _ms(node.backward_seconds), _size(node.nbytes),
    )  # fmt: skip


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _size(nbytes: int) -> str:
    if nbytes < 1024:
        return f"{nbytes} B"
    return f"{nbytes / 1024:.1f} KiB" if nbytes < 1 << 20 else f"{nbytes / (1 << 20):.1f} MiB"
