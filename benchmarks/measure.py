"""Engines measured side by side: in turns, each in a process of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Self

import numpy as np

from benchmarks.files import ModelFile, find_model
from benchmarks.worker import EngineError, Worker
from benchmarks.workloads import Workload

REFERENCES = ("onnxruntime", "torch")
"""Whose results the others have to agree with: the first that is measured."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long.

    Engines have `runs` turns of at least `seconds`, or `fresh` processes or exports each.
    """

    workloads: list[Workload]
    engines: list[str]
    runs: int = 9
    fresh: int = 9
    seconds: float = 0.05
    threads: int = 2
    note: Callable[[str], None] = print

    def among(self, *engines: str, workload: Workload) -> list[str]:
        """Those of the engines that are asked for and make a difference to the workload."""
        skipped = () if workload.convolutional else ("torch_channels_last",)
        return [name for name in engines if name in self.engines and name not in skipped]


@dataclass(frozen=True)
class Row:
    """One engine's figures in one case; `problem` says why there are none."""

    study: str
    workload: str
    batch: int
    engine: str
    unit: str = "s"
    values: list[float] = field(default_factory=list)
    problem: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return median(self.values)

    def show(self, value: float) -> str:
        """One of the values with its unit."""
        return f"{1e3 * value:.3f} ms" if self.unit == "s" else f"{value / 2**20:.1f} MiB"

    def __str__(self) -> str:
        outcome = self.show(self.minimum) if self.values else self.problem
        return f"{self.study} {self.workload} x{self.batch}, {self.engine}: {outcome}"

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file has of it."""
        known = asdict(self)
        runs = known.pop("values")
        figures = {"minimum": self.minimum, "median": self.median} if runs else {}
        return known | figures | {"runs": len(runs)}


def build(plan: Plan, workload: Workload) -> ModelFile:
    """The workload's files; a process of its own writes them, unless they are there."""
    if find_model(workload) is None:
        plan.note(f"{workload.name}: writing its files")
        with Worker("torch", plan.threads) as worker:
            worker.call("ask", "build", workload)
    model = find_model(workload)
    assert model is not None
    return model


class Contest:
    """Engines that take turns, each in a process of its own; one that fails is out."""

    def __init__(self, engines: Iterable[str], threads: int) -> None:
        self.problems: dict[str, str] = {}
        self._workers: dict[str, Worker] = {}
        for engine in engines:
            with self._noting(engine):
                self._workers[engine] = Worker(engine, threads)

    def ask(self, method: str, *arguments: Any) -> dict[str, Any]:
        """What each engine answers."""
        answers = {}
        for engine, worker in list(self._workers.items()):
            with self._noting(engine):
                answers[engine] = worker.call(method, *arguments)
        return answers

    def turns(self, runs: int, seconds: float) -> dict[str, list[float]]:
        """Seconds of each engine's runs, in `runs` turns of at least `seconds`."""
        times: dict[str, list[float]] = {engine: [] for engine in self._workers}
        for _ in range(runs):
            for engine, taken in self.ask("turn", seconds).items():
                times[engine] += taken
        return {engine: taken for engine, taken in times.items() if engine in self._workers}

    def compare(self, results: Mapping[str, list[np.ndarray]], tolerance: float) -> None:
        """Put out the engines whose results are not the reference's."""
        known = [name for name in (*REFERENCES, *results) if name in results]
        for engine in results:
            error = difference(results[engine], results[known[0]])
            if not error <= tolerance:
                self.problems[engine] = f"differs from {known[0]} by {error:.1e} of the largest"
                self._workers.pop(engine).close()

    def rows(
        self,
        study: str,
        workload: Workload,
        batch: int,
        times: Mapping[str, list[float]],
        facts: Mapping[str, float],
    ) -> Iterator[Row]:
        """A row for each engine, those that are out included."""
        for engine in times:
            yield Row(study, workload.name, batch, engine, values=times[engine], facts=facts)
        for engine, problem in self.problems.items():
            yield Row(study, workload.name, batch, engine, problem=problem)

    @contextmanager
    def _noting(self, engine: str) -> Iterator[None]:
        """Note why an engine fails, and put it out."""
        try:
            yield
        except EngineError as error:
            self.problems[engine] = str(error)
            if engine in self._workers:
                self._workers.pop(engine).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()


def difference(arrays: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """The largest difference, as a part of the largest expected number."""
    if [array.shape for array in arrays] != [array.shape for array in expected]:
        return float("inf")
    pairs = zip(arrays, expected, strict=True)
    return max((_difference(a, e) for a, e in pairs if e.size), default=0.0)


def _difference(array: np.ndarray, expected: np.ndarray) -> float:
    largest = max(float(np.abs(expected).max()), 1e-30)
    return float(np.abs(array - expected).max()) / largest
