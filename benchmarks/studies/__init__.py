"""What is measured, one function per study, from a plan to rows."""

from collections.abc import Callable, Iterator

from benchmarks.measure import Plan, Row
from benchmarks.studies import chain, export, fresh, inference, training

STUDIES: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "inference": inference.measure,
    "training": training.measure,
    "import": fresh.measure_import,
    "older-import": fresh.measure_older_import,
    "export": export.measure,
    "memory": fresh.measure_memory,
    "chain": chain.measure,
    "scale": fresh.measure_scale,
    "large-memory": fresh.measure_large_memory,
    "large-export": export.measure_large,
}
"""By name, in the order of the report."""
