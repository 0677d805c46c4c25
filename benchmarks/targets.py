"""What hetu is to reach, worked out from the rows of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

from benchmarks.measure import Row
from benchmarks.workloads import CHAINS

Case = tuple[str, int]
Cases = dict[Case, dict[str, Row]]


@dataclass(frozen=True)
class Target:
    """A figure with its bound: at least (`>=`) or at most (`<=`)."""

    name: str
    relation: str
    bound: float
    measure: Callable[[Sequence[Row]], float | None]
    unit: str = "x"


@dataclass(frozen=True)
class Outcome:
    """A target with what was measured; None where the run has not what it takes."""

    target: Target
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached."""
        if self.value is None:
            return None
        over = self.value >= self.target.bound
        return over if self.target.relation == ">=" else self.value <= self.target.bound


def evaluate(rows: Sequence[Row]) -> list[Outcome]:
    """All targets."""
    return [Outcome(target, target.measure(rows)) for target in TARGETS]


def cases_of(rows: Sequence[Row], study: str) -> Cases:
    """The rows of a study by workload and batch, then by engine; those with figures."""
    cases: Cases = {}
    for row in rows:
        if row.study == study and row.values:
            cases.setdefault((row.workload, row.batch), {})[row.engine] = row
    return cases


def speedups(rows: Sequence[Row], study: str, rivals: Sequence[str]) -> dict[Case, float]:
    """How many times faster hetu is than the best of the rivals, by case."""
    found = {}
    for case, engines in cases_of(rows, study).items():
        times = [engines[rival].minimum for rival in rivals if rival in engines]
        if times and "hetu" in engines:
            found[case] = min(times) / engines["hetu"].minimum
    return found


def geomean(values: Sequence[float]) -> float | None:
    """The geometric mean."""
    return exp(sum(map(log, values)) / len(values)) if values else None


def _mean(study: str, *rivals: str) -> Callable[[Sequence[Row]], float | None]:
    return lambda rows: geomean(list(speedups(rows, study, rivals).values()))


def _worst(study: str, *rivals: str) -> Callable[[Sequence[Row]], float | None]:
    return lambda rows: min(speedups(rows, study, rivals).values(), default=None)


def _inverse(measure: Callable[[Sequence[Row]], float | None]) -> Callable:
    def inverse(rows: Sequence[Row]) -> float | None:
        value = measure(rows)
        return None if value is None else 1 / value

    return inverse


def _per_node(rows: Sequence[Row]) -> dict[int, float]:
    """Microseconds a node of load and compilation, by length of the chain."""
    cases = cases_of(rows, "scale")
    lengths = {CHAINS[n].name: n for n in CHAINS}
    return {
        lengths[name]: 1e6 * engines["hetu"].minimum / lengths[name]
        for (name, _), engines in cases.items()
        if "hetu" in engines
    }


def _most_per_node(rows: Sequence[Row]) -> float | None:
    return _per_node(rows).get(max(CHAINS))


def _growth(rows: Sequence[Row]) -> float | None:
    costs = _per_node(rows)
    *_, shorter, longest = sorted(CHAINS)
    return costs[longest] / costs[shorter] if {shorter, longest} <= costs.keys() else None


TARGETS = [
    Target("inference, mean against the better of ONNX Runtime and OpenVINO", ">=", 1.0,
           _mean("inference", "onnxruntime", "openvino")),
    Target("inference, worst case against these", ">=", 0.7,
           _worst("inference", "onnxruntime", "openvino")),
    Target("inference, mean against ONNX Runtime", ">=", 1.15, _mean("inference", "onnxruntime")),
    Target("training step, mean against eager torch", ">=", 1.5, _mean("training", "torch")),
    Target("training step, mean against the better of channels_last and torch.compile", ">=", 1.05,
           _mean("training", "torch_channels_last", "torch_compile")),
    Target("file to first result, mean of the time of ONNX Runtime", "<=", 1.0,
           _inverse(_mean("import", "onnxruntime"))),
    Target("load, mean against onnx2torch.convert", ">=", 10,
           _mean("older import: load", "onnx2torch")),
    Target("export, mean against torch.onnx.export", ">=", 20, _mean("export", "torch")),
    Target("export of 3 GiB, of the rate of dd with fsync", ">=", 0.8, _mean("large export", "dd")),
    Target("chain of cheap operators, worst of the time of eager torch", "<=", 1.1,
           _inverse(_worst("chain", "torch"))),
    Target("memory, mean of the peak of ONNX Runtime", "<=", 1.1,
           _inverse(_mean("memory", "onnxruntime"))),
    Target("load and compilation of 100,000 nodes", "<=", 60, _most_per_node, " us a node"),
    Target("cost of a node at 100,000, of that at 10,000", "<=", 1.2, _growth),
]  # fmt: skip
"""Means are geometric, over all workloads and batch sizes of a run."""
