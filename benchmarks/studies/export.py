"""Export: of each model against torch's exporter, of a large one against the disk."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from benchmarks.files import CACHE
from benchmarks.measure import Contest, Plan, Row, build
from benchmarks.worker import Worker
from benchmarks.workloads import LARGE

ENGINES = ("hetu", "torch")


def measure(plan: Plan) -> Iterator[Row]:
    """A row for each workload and engine."""
    for workload in plan.workloads:
        model = build(plan, workload)
        plan.note(f"{workload.name}: export")
        with (
            tempfile.TemporaryDirectory(dir=CACHE) as folder,
            Contest(plan.among(*ENGINES, workload=workload), plan.threads) as contest,
        ):
            contest.ask("load", workload, model)
            contest.ask("export_to", workload, Path(folder, "model.onnx"))
            times = contest.turns(plan.fresh, 0)
            yield from contest.rows("export", workload, workload.batches[0], times, {})


def measure_large(plan: Plan) -> Iterator[Row]:
    """Seconds to export the model of 3 GiB, and of `dd` to write the same bytes to the disk."""
    model = build(plan, LARGE)
    data = model.path.with_name("weights.bin")
    facts = {"bytes": data.stat().st_size}
    times: dict[str, list[float]] = {"dd": [], "hetu": []}
    with tempfile.TemporaryDirectory(dir=CACHE) as name, Worker("hetu", plan.threads) as worker:
        folder = Path(name)
        worker.call("load", LARGE, model)
        worker.call("export_to", LARGE, folder / "model.onnx")
        takers = {
            "dd": lambda: [_dd(data, folder / "dd.bin")],
            "hetu": lambda: worker.call("turn", 0),
        }
        for turn in range(plan.fresh):
            plan.note(f"large: export, {turn + 1} of {plan.fresh}")
            # whoever writes first takes the pages and blocks that were freed just before
            for engine in sorted(takers, reverse=turn % 2 > 0):
                times[engine] += takers[engine]()
            _empty(folder)
    for engine, taken in times.items():
        yield Row("large export", LARGE.name, 1, engine, values=taken, facts=facts)


def _dd(source: Path, target: Path) -> float:
    begin = perf_counter()
    command = ["dd", f"if={source}", f"of={target}", "bs=16M", "conv=fsync", "status=none"]
    subprocess.run(command, check=True)
    return perf_counter() - begin


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
