"""Inference: numpy arrays in, numpy arrays out."""

from collections.abc import Iterator, Sequence

from benchmarks.measure import Contest, Plan, Row, build
from benchmarks.workloads import Workload

ENGINES = ("hetu", "onnxruntime", "openvino", "torch", "torch_channels_last")

TOLERANCE = 1e-4
"""Of the largest number: what float32 may lose in tens of layers that sum thousands of terms."""


def measure(plan: Plan) -> Iterator[Row]:
    """A row for each workload, batch size and engine."""
    for workload in plan.workloads:
        yield from measure_workload(plan, workload, ENGINES, "inference")


def measure_workload(
    plan: Plan, workload: Workload, engines: Sequence[str], study: str
) -> Iterator[Row]:
    """A row for each batch size and engine."""
    model = build(plan, workload)
    with Contest(plan.among(*engines, workload=workload), plan.threads) as contest:
        contest.ask("load", workload, model)
        for batch in workload.batches:
            plan.note(f"{workload.name} x{batch}: {study}")
            contest.compare(contest.ask("run", workload, batch), TOLERANCE)
            times = contest.turns(plan.runs, plan.seconds)
            facts = {"flops": model.facts["flops"] * batch}
            yield from contest.rows(study, workload, batch, times, facts)
