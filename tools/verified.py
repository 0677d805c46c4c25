"""Writes the README's table of what was verified; `python -m tools.verified out/verified.json`.

Takes what `pytest --verified=out/verified.json` counted over to docs/verified.json and from there
to the README. With `--check`, fails where the two counts differ.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
COUNTS = ROOT / "docs" / "verified.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- verified: `make verified` -->\n", "<!-- /verified -->\n"

EXPORTERS = (
    "torch.onnx.export(dynamo=True)",
    "torch.onnx.export(dynamo=False)",
    "tf2onnx, Keras",
    "skl2onnx",
    "ONNX Runtime optimizer, basic",
    "ONNX Runtime optimizer, extended",
    "ONNX Runtime optimizer, all",
    "ONNX Runtime optimizer, transformers",
    "quantized, dynamic",
    "quantized, static QDQ",
    "quantized, static QOperator",
    "quantized, 4 and 8 bits in blocks",
    "converted to float16",
)
PROPERTIES = ("results", "sizes", "gradients", "training", "export", "opset conversion")

Counts = Mapping[str, Mapping[str, int]]


def table(counts: Counts) -> str:
    """The table in Markdown: for how many models each property was verified."""
    counted = {name for found in counts.values() for name in found}
    columns = [name for name in PROPERTIES if name in counted]
    lines = [f"| exporter | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for exporter in EXPORTERS:
        found = counts.get(exporter, {})
        cells = (str(found.get(name, "")) for name in columns)
        lines.append(f"| {exporter} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def check_names(counts: Counts) -> None:
    """Raise `ValueError` for a count that the table has no place for."""
    unknown = {*counts, *(name for found in counts.values() for name in found)}
    unknown -= {*EXPORTERS, *PROPERTIES}
    if unknown:
        raise ValueError(f"tools/verified.py has no place for {', '.join(sorted(unknown))}")


def readme(counts: Counts) -> str:
    """The README with the table of some counts."""
    before, _, rest = README.read_text().partition(BEGIN)
    return f"{before}{BEGIN}{table(counts)}{END}{rest.partition(END)[2]}"


def main(arguments: list[str]) -> int:
    """Take over the counts of a run, or compare with them."""
    path = Path(next(argument for argument in arguments if argument != "--check"))
    counts = json.loads(path.read_text())
    check_names(counts)
    if "--check" in arguments:
        if counts != json.loads(COUNTS.read_text()):
            print(f"{COUNTS.name} differs from {path}: run `make verified`", file=sys.stderr)
            return 1
        return 0
    COUNTS.write_text(path.read_text())
    README.write_text(readme(counts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
