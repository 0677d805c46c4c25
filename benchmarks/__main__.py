"""Measures hetu beside other engines: `python -m benchmarks --help`."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.chart import write_chart
from benchmarks.engines import NAMES
from benchmarks.measure import Plan, Row
from benchmarks.report import to_markdown, write_report
from benchmarks.studies import STUDIES
from benchmarks.worker import Worker
from benchmarks.workloads import WORKLOADS

CONSOLE = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the report, and write it where that is asked for."""
    options = _parser().parse_args(arguments)
    plan = _plan(options)
    facts = machine.describe() | {"threads": options.threads}
    if "roofline" in options.studies:
        facts |= _roofline(options.threads)
    rows: list[Row] = []
    for study in [name for name in STUDIES if name in options.studies]:
        for row in STUDIES[study](plan):
            rows.append(row)
            CONSOLE.print(f"  {row}")
            if options.out is not None:
                write_report(rows, facts, options.out)
    if options.out is not None:
        write_chart(rows, options.out / "results.png")
    print(to_markdown(rows, facts, details=False))


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        [WORKLOADS[name] for name in options.only],
        options.engines,
        runs=3 if options.quick else options.runs,
        fresh=1 if options.quick else options.fresh,
        threads=options.threads,
        note=CONSOLE.print,
    )


def _roofline(threads: int) -> dict[str, float]:
    with Worker("roofline", threads) as worker:
        return worker.call("ask", "peaks")


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return names

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add, studies = parser.add_argument, ["roofline", *STUDIES]
    add("--studies", type=_names(studies), default=studies, help=", ".join(studies))
    add("--only", type=_names([*WORKLOADS]), default=[*WORKLOADS], help=", ".join(WORKLOADS))
    add("--engines", type=_names([*NAMES]), default=[*NAMES], help=", ".join(NAMES))
    add("--runs", type=int, default=9, help="turns of each engine (default 9)")
    add("--fresh", type=int, default=9, help="processes, or exports, of each (default 9)")
    add("--quick", action="store_true", help="3 runs, and 1 process or export of each")
    add("--threads", type=int, default=2, help="of each engine (default 2)")
    add("--out", type=Path, help="folder to write the report into")
    return parser


if __name__ == "__main__":
    main()
