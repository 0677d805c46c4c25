"""A bar chart of how fast hetu is, against the others."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.engines import NAMES
from benchmarks.measure import Row
from benchmarks.targets import Case, cases_of

STUDIES = ("inference", "training", "import", "export", "memory", "chain", "scale")

INCHES = 0.17
"""Height of a bar, and of the space between cases."""

Ratios = dict[Case, dict[str, float]]
"""Each engine's figure over hetu's, by case."""


def write_chart(rows: Sequence[Row], path: Path) -> None:
    """One part for each study; bars to the right are where hetu is better."""
    studies = {study: found for study in STUDIES if (found := _ratios(rows, study))}
    if not studies:
        return
    matplotlib.use("Agg")
    heights = [INCHES * sum(len(engines) + 1 for engines in r.values()) for r in studies.values()]
    figure, axes = pyplot.subplots(
        len(studies), figsize=(9, sum(heights) + len(heights)), squeeze=False,
        height_ratios=heights, layout="constrained",
    )  # fmt: skip
    figure.suptitle("Figures of other engines over hetu's (right of 1: hetu is better)")
    for axis, (study, ratios) in zip(axes[:, 0], studies.items(), strict=True):
        _draw(axis, study, ratios)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _ratios(rows: Sequence[Row], study: str) -> Ratios:
    return {
        case: {
            name: row.minimum / engines["hetu"].minimum
            for name, row in engines.items()
            if name != "hetu"
        }
        for case, engines in cases_of(rows, study).items()
        if len(engines) > 1 and "hetu" in engines
    }


def _draw(axis: Axes, study: str, ratios: Ratios) -> None:
    """All bars of a study, one colour per engine, grouped by case."""
    positions: dict[str, list[tuple[int, float]]] = {}
    ticks, row = {}, 0
    for (workload, batch), engines in ratios.items():
        ticks[row + (len(engines) - 1) / 2] = f"{workload} x{batch}"
        for engine, ratio in engines.items():
            positions.setdefault(engine, []).append((row, ratio))
            row += 1
        row += 1
    axis.set_xscale("log")
    for engine, bars in positions.items():
        rows, values = zip(*bars, strict=True)
        color = f"C{list(NAMES).index(engine)}"
        widths = [value - 1 for value in values]
        drawn = axis.barh(rows, widths, left=1, color=color, label=NAMES[engine])
        axis.bar_label(drawn, [f"{value:.2f}" for value in values], padding=2, fontsize=6)
    _dress(axis, study, ticks)


def _dress(axis: Axes, study: str, ticks: dict[float, str]) -> None:
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.axvline(1, color="black", linewidth=1)
    axis.set_title(study, loc="left")
    axis.legend(fontsize="small")
