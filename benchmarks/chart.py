"""A bar chart of how fast hetu is, against the others."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.engines import NAMES
from benchmarks.measure import Row
from benchmarks.targets import Cases, cases_of

STUDIES = ("inference", "training", "import", "export", "memory", "chain", "scale")
BAR = 0.16
"""Height of one bar, in inches."""


def write_chart(rows: Sequence[Row], path: Path) -> None:
    """Each engine's figure over hetu's, per case: bars right of 1 are where hetu is better."""
    studies = {study: cases_of(rows, study) for study in STUDIES}
    studies = {study: cases for study, cases in studies.items() if _bars(cases)}
    if not studies:
        return
    matplotlib.use("Agg")
    heights = [_bars(cases) + len(cases) for cases in studies.values()]
    figure, axes = pyplot.subplots(
        len(studies), figsize=(9, BAR * sum(heights) + len(studies)), squeeze=False,
        height_ratios=heights, layout="constrained",
    )  # fmt: skip
    for axis, (study, cases) in zip(axes[:, 0], studies.items(), strict=True):
        _draw(axis, study, cases)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bars(cases: Cases) -> int:
    return sum(len(engines) - 1 for engines in cases.values() if "hetu" in engines)


def _draw(axis: Axes, study: str, cases: Cases) -> None:
    ticks, labels, position, named = [], [], 0, set()
    for (workload, batch), engines in cases.items():
        start = position
        for engine in [name for name in engines if name != "hetu" and "hetu" in engines]:
            ratio = engines[engine].minimum / engines["hetu"].minimum
            label = NAMES.get(engine, engine)
            color = f"C{list(NAMES).index(engine)}" if engine in NAMES else "gray"
            axis.barh(position, ratio, color=color, label=None if engine in named else label)
            named.add(engine)
            position += 1
        ticks.append((start + position - 1) / 2)
        labels.append(f"{workload} x{batch}")
        position += 1
    axis.set_yticks(ticks, labels)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.axvline(1, color="black", linewidth=1)
    axis.set_title(f"{study}: figure of each engine / hetu's (right of 1: hetu is better)")
    axis.legend(fontsize="small")
