"""The results as tables in Markdown, and as JSON."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from benchmarks.engines import NAMES
from benchmarks.measure import Row
from benchmarks.targets import Outcome, cases_of, evaluate

VERDICTS = {True: "met", False: "missed", None: "not measured"}


def write_report(rows: Sequence[Row], machine: dict[str, Any], folder: Path) -> None:
    """Write `results.md` and `results.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(to_markdown(rows, machine))
    _write_json(rows, machine, folder / "results.json")


def _write_json(rows: Sequence[Row], machine: dict[str, Any], path: Path) -> None:
    targets = [
        {"name": o.target.name, "relation": o.target.relation, "bound": o.target.bound,
         "value": o.value, "met": o.met}
        for o in evaluate(rows)
    ]  # fmt: skip
    content = {"machine": machine, "targets": targets, "rows": [row.to_dict() for row in rows]}
    path.write_text(json.dumps(content, indent=1))


def to_markdown(rows: Sequence[Row], machine: dict[str, Any], *, details: bool = True) -> str:
    """The machine, the targets and a table for each study; medians and counts are details."""
    parts = ["# Benchmarks", *_machine(machine), "## Targets", _targets(evaluate(rows))]
    parts += ["Each engine's fastest run, and in brackets its figure over hetu's."]
    for study in dict.fromkeys(row.study for row in rows):
        chosen = [row for row in rows if row.study == study]
        parts += [f"## {study[0].upper()}{study[1:]}", _overview(study, chosen, machine)]
        parts += [*_problems(chosen), *([_folded(_details(chosen, machine))] if details else [])]
    return "\n\n".join(filter(None, parts)) + "\n"


def _machine(machine: dict[str, Any]) -> Iterator[str]:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB; "
        f"{machine['threads']} threads. Python {machine['python']}, {versions}."
    )
    if "flops" in machine:
        yield (
            f"At best: {machine['flops'] / 1e9:.0f} GFLOP/s (products of matrices), "
            f"{machine['bytes'] / 1e9:.1f} GB/s (a copy, read and written)."
        )


def _targets(outcomes: Sequence[Outcome]) -> str:
    rows = [
        (o.target.name, f"{o.target.relation} {o.target.bound:g}{o.target.unit}",
         "" if o.value is None else f"{o.value:.2f}{o.target.unit}", VERDICTS[o.met])
        for o in outcomes
    ]  # fmt: skip
    return _markdown(rows, ["", "target", "measured", ""])


def _overview(study: str, rows: Sequence[Row], machine: dict[str, Any]) -> str:
    """A line for each case, a column for each engine."""
    engines = list(dict.fromkeys(row.engine for row in rows if row.values))
    cases = cases_of(rows, study)
    counted = any(row.facts.get("flops") for row in rows)
    lines = []
    for (workload, batch), found in cases.items():
        hetu = found.get("hetu")
        cells = [_cell(found.get(engine), hetu) for engine in engines]
        speed = [" ".join(_speed(hetu, machine))] if counted and hetu else [""] * counted
        lines.append([workload, str(batch), *cells, *speed])
    names = [NAMES.get(engine, engine) for engine in engines]
    return _markdown(lines, ["", "batch", *names, *["hetu's GFLOP/s"] * counted])


def _cell(row: Row | None, hetu: Row | None) -> str:
    if row is None:
        return ""
    ratio = "" if hetu is None or row is hetu else f" ({row.minimum / hetu.minimum:.2f})"
    return f"{row.show(row.minimum)}{ratio}"


def _details(rows: Sequence[Row], machine: dict[str, Any]) -> str:
    lines = [
        [row.workload, str(row.batch), NAMES.get(row.engine, row.engine),
         row.show(row.minimum), row.show(row.median), str(len(row.values)),
         *_speed(row, machine)]
        for row in rows
        if row.values
    ]  # fmt: skip
    header = ["", "batch", "engine", "minimum", "median", "runs", "GFLOP/s", "of the best"]
    return _markdown(lines, header)


def _speed(row: Row, machine: dict[str, Any]) -> tuple[str, str]:
    """Operations a second, and the part of the machine's best."""
    if not row.facts.get("flops"):
        return "", ""
    rate = row.facts["flops"] / row.minimum
    return f"{rate / 1e9:.1f}", f"{rate / machine['flops']:.0%}" if "flops" in machine else ""


def _problems(rows: Sequence[Row]) -> Iterator[str]:
    lines = [
        f"- {row.workload} x{row.batch}, {NAMES.get(row.engine, row.engine)}: {row.problem}"
        for row in rows
        if row.problem
    ]
    if lines:
        yield "\n".join(lines)


def _folded(table: str) -> str:
    return f"<details><summary>minima, medians, runs</summary>\n\n{table}\n\n</details>"


def _markdown(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    return tabulate(rows, header, "github", disable_numparse=True) if rows else ""
