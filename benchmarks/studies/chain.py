"""The cost of a node: chains of cheap operators, against the same operators in eager torch."""

from collections.abc import Iterator

from benchmarks.measure import Plan, Row
from benchmarks.studies import inference
from benchmarks.workloads import CHAINS

ENGINES = ("hetu", "torch", "onnxruntime")
LENGTHS = (1_000, 10_000)


def measure(plan: Plan) -> Iterator[Row]:
    """A row for each length and engine."""
    for length in LENGTHS:
        yield from inference.measure_workload(plan, CHAINS[length], ENGINES, "chain")
