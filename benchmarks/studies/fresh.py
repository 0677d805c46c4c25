"""What a process pays once: import of a file to its first result, and memory."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from benchmarks.files import ModelFile
from benchmarks.measure import Plan, Row, build
from benchmarks.worker import EngineError, Worker
from benchmarks.workloads import CHAINS, LARGE, Workload

IMPORTERS = ("hetu", "onnxruntime", "openvino", "onnx2torch")
OLDER_IMPORTERS = ("hetu", "onnx2torch")
LIGHT = ("hetu", "onnxruntime")
MEMORY_RUNS = 3


def measure_import(plan: Plan) -> Iterator[Row]:
    """Seconds of the library's import, from the file to a ready model, and to the first result."""
    for workload in plan.workloads:
        model = build(plan, workload)
        yield from _import_rows(plan, "import", workload, model, IMPORTERS)


def measure_older_import(plan: Plan) -> Iterator[Row]:
    """The same of files at an older opset, which onnx2torch knows."""
    for workload in plan.workloads:
        model = build(plan, workload)
        model = replace(model, path=model.older)
        yield from _import_rows(plan, "older import", workload, model, OLDER_IMPORTERS)


def measure_scale(plan: Plan) -> Iterator[Row]:
    """The same, by how many nodes a model has."""
    for workload in CHAINS.values():
        yield from _import_rows(plan, "scale", workload, build(plan, workload), LIGHT)


def _import_rows(
    plan: Plan, study: str, workload: Workload, model: ModelFile, engines: tuple[str, ...]
) -> Iterator[Row]:
    batch = workload.batches[0]
    for engine, outcomes in _in_turns(plan, workload, engines, "first_result", model, batch):
        name = workload.name
        if isinstance(outcomes, str):
            yield Row(study, name, batch, engine, problem=outcomes)
            continue
        library, loading, total = zip(*((i, a, a + b) for i, (a, b) in outcomes), strict=True)
        yield Row(f"{study}: library", name, batch, engine, values=list(library))
        yield Row(f"{study}: load", name, batch, engine, values=list(loading))
        yield Row(study, name, batch, engine, values=list(total))


def measure_memory(plan: Plan) -> Iterator[Row]:
    """Bytes that loading and running needs at most, beyond the imported library."""
    for workload in plan.workloads:
        yield from _memory_rows(plan, workload)


def measure_large_memory(plan: Plan) -> Iterator[Row]:
    """The same for the model of 3 GiB."""
    yield from _memory_rows(plan, LARGE)


def _memory_rows(plan: Plan, workload: Workload) -> Iterator[Row]:
    model, batch = build(plan, workload), workload.batches[0]
    facts = {"weights": model.facts["weights"]}
    asked = _in_turns(plan, workload, LIGHT, "peak_memory", model, batch, MEMORY_RUNS)
    for engine, outcomes in asked:
        if isinstance(outcomes, str):
            yield Row("memory", workload.name, batch, engine, "B", problem=outcomes)
        else:
            peaks = [peak for _, peak in outcomes]
            yield Row("memory", workload.name, batch, engine, "B", peaks, facts=facts)


def _in_turns(
    plan: Plan,
    workload: Workload,
    engines: tuple[str, ...],
    method: str,
    model: ModelFile,
    *arguments: Any,
) -> Iterator[tuple[str, list[tuple[float, Any]] | str]]:
    """Each engine's answers from `plan.fresh` processes with their imports' times, or why not."""
    plan.note(f"{workload.name}: {method.replace('_', ' ')}")
    outcomes: dict[str, Any] = defaultdict(list)
    for _ in range(plan.fresh):
        for engine in plan.among(*engines, workload=workload):
            if isinstance(outcomes[engine], str):
                continue
            try:
                with Worker(engine, plan.threads) as worker:
                    answer = worker.call(method, workload, model, *arguments)
                    outcomes[engine].append((worker.import_seconds, answer))
            except EngineError as error:
                outcomes[engine] = str(error)
    yield from outcomes.items()
