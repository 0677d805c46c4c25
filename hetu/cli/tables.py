"""Tables on the terminal, with rich where that is installed."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first row has the titles."""
    if sys.stdout.isatty() and find_spec("rich") is not None:
        _print_rich(rows)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _print_rich(rows: Sequence[Sequence[str]]) -> None:
    table = import_module("rich.table").Table(*rows[0])
    escape = import_module("rich.markup").escape
    for row in rows[1:]:
        table.add_row(*map(escape, row))
    import_module("rich.console").Console().print(table)
