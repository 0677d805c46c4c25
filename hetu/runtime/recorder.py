"""Measures the nodes of a plan with torch's profiler."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from hetu.ir import Namer, Node
from hetu.ops.kinds import Context
from hetu.ops.registry import FUSED
from hetu.runtime.bind import Call
from hetu.runtime.profile import NodeProfile, Profile
from hetu.types import short_domain

_RUN = "hetu run"
_NODE = re.compile(r"hetu node (\d+)")
_BACKWARD = "autograd::engine::evaluate_function"
_CATEGORIES = ("user_annotation", "cpu_op", "cpu_instant_event")
_US = 1e-6

Event = dict[str, Any]


@dataclass(slots=True)
class _Record:
    """A node, and what its outputs were in the last run."""

    node: Node
    shapes: tuple[tuple[int, ...] | None, ...] = ()
    nbytes: int = 0


class Recorder:
    """Measures the nodes that it instruments."""

    def __init__(self, device: torch.device) -> None:
        self._is_on_gpu = device.type == "cuda"
        self._records: list[_Record] = []

    def instrument(self, node: Node, call: Call) -> Callable[..., Any]:
        """What a node calls, as something that the profiler sees; on a GPU, it waits for it."""
        record, label = _Record(node), f"hetu node {len(self._records)}"
        self._records.append(record)

        def run(*arguments: Any, **bodies: Any) -> Any:
            with record_function(label):
                results = call.function(*arguments, **bodies)
                if self._is_on_gpu:
                    torch.cuda.synchronize()
            outputs = (results,) if call.returns == 1 else results
            used = [result for result, _ in zip(outputs, node.outputs, strict=False)]
            record.shapes = tuple(map(_shape, used))
            record.nbytes = sum(map(_nbytes, used))
            return results

        return run

    def measure(self, run: Callable[[], Any], runs: int) -> Profile:
        """The profile of some runs, after one that does not count."""
        run()
        activities = [ProfilerActivity.CPU]
        activities += [ProfilerActivity.CUDA] if self._is_on_gpu else []
        with profile(activities=activities, profile_memory=True) as profiler:
            for _ in range(runs):
                with record_function(_RUN):
                    run()
        with TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(path))
            trace = json.loads(path.read_bytes())
        return self._profile(trace, runs)

    def _profile(self, trace: dict[str, Any], runs: int) -> Profile:
        names = self._names()
        times = _read(trace["traceEvents"], len(names))
        mean = sum(times.runs) / runs
        nodes = [
            _node_profile(record, name, seconds, calls / runs, backward / runs, mean)
            for record, name, seconds, calls, backward in zip(
                self._records, names, times.nodes, times.calls, times.backward, strict=True
            )
        ]
        for event in trace["traceEvents"]:
            self._annotate(event, names)
        return Profile(tuple(nodes), runs, mean, min(times.runs), times.peak, trace)

    def _names(self) -> list[str]:
        namer = Namer()
        return [namer.unique(_name(record.node)) for record in self._records]

    def _annotate(self, event: Event, names: Sequence[str]) -> None:
        """Let an event of a node say which one it is."""
        index = _index(event)
        if index is not None:
            record = self._records[index]
            given = {"operator": record.node.operator, "shapes": record.shapes}
            event |= {"name": names[index], "args": {**event.get("args", {}), **given}}


@contextmanager
def restored(context: Context) -> Iterator[None]:
    """Random generators go on afterwards as if nothing had been drawn meanwhile."""
    used = [context.generator, *context.seeded.values()]
    states = [(generator, generator.get_state()) for generator in used if generator is not None]
    seeds = set(context.seeded)
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)
        for seed in set(context.seeded) - seeds:
            del context.seeded[seed]


@dataclass(slots=True)
class _Times:
    """Seconds of the runs, and of the nodes in each run; see `Profile`."""

    runs: list[float]
    nodes: list[list[float]]
    calls: list[int]
    backward: list[float]
    peak: int = 0
    _open: list[tuple[float, int]] = field(default_factory=list)
    _forward: dict[int, int] = field(default_factory=dict)
    _held: int = 0

    def read(self, event: Event) -> None:
        """Take an event into account; they come in the order in which they begin."""
        while self._open and self._open[-1][0] <= event["ts"]:
            self._open.pop()
        index = _index(event)
        if event["name"] == _RUN:
            self.runs.append(event["dur"] * _US)
            self._held = 0
            for seconds in self.nodes:
                seconds.append(0.0)
        elif index is not None:
            self._enter(index, event)
        elif event["name"] == "[memory]":
            self._held += event["args"]["Bytes"]
            self.peak = max(self.peak, self._held)
        elif "Sequence number" in event.get("args", {}):
            self._link(event, event["args"]["Sequence number"])

    def _enter(self, index: int, event: Event) -> None:
        if self._open:
            self.nodes[self._open[-1][1]][-1] -= event["dur"] * _US
        self.nodes[index][-1] += event["dur"] * _US
        self.calls[index] += 1
        self._open.append((event["ts"] + event["dur"], index))

    def _link(self, event: Event, number: int) -> None:
        """What autograd records in a node has a number, which its derivative bears again."""
        if event["name"].startswith(_BACKWARD):
            if number in self._forward:
                self.backward[self._forward[number]] += event["dur"] * _US
        elif self._open and not event["args"].get("Fwd thread id"):
            self._forward[number] = self._open[-1][1]


def _read(events: Sequence[Event], count: int) -> _Times:
    times = _Times([], [[] for _ in range(count)], [0] * count, [0.0] * count)
    relevant = [e for e in events if e["ph"] in "Xi" and e.get("cat") in _CATEGORIES]
    for event in sorted(relevant, key=lambda event: (event["ts"], -event.get("dur", 0))):
        times.read(event)
    return times


def _index(event: Event) -> int | None:
    """The node that an event is of."""
    match = _NODE.fullmatch(event["name"])
    return int(match[1]) if match else None


def _node_profile(
    record: _Record, name: str, seconds: Sequence[float], calls: float, backward: float, run: float
) -> NodeProfile:
    mean = sum(seconds) / len(seconds)
    operator = f"{short_domain(record.node.domain)}.{record.node.op_type}".removeprefix(".")
    return NodeProfile(
        name, operator, record.shapes, record.nbytes, calls, mean, min(seconds), mean / run,
        backward,
    )  # fmt: skip


def _name(node: Node) -> str:
    """A node's name; one that passes made has those of what it computes."""
    made = ", ".join(v.name for v in node.outputs if v is not None and v.name)
    given = "" if node.domain == FUSED else node.name
    return given or made or node.op_type


def _shape(result: Any) -> tuple[int, ...] | None:
    return tuple(result.shape) if isinstance(result, torch.Tensor | np.ndarray) else None


def _nbytes(result: Any) -> int:
    if isinstance(result, tuple):
        return sum(map(_nbytes, result))
    if isinstance(result, torch.Tensor) and result.is_sparse:
        return result._indices().nbytes + result._values().nbytes
    return result.nbytes if isinstance(result, torch.Tensor | np.ndarray) else 0
