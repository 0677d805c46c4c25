"""Tables of text, with rich where that is installed."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from typing import Any

Rows = Sequence[Sequence[str]]
"""The rows of a table; the first has the titles."""

_UNLIMITED = 10_000
"""Columns: nothing is cut."""


def print_rows(rows: Rows) -> None:
    """Print a table, with rich on a terminal."""
    if sys.stdout.isatty() and _has_rich():
        import_module("rich.console").Console().print(_rich_table(rows))
    else:
        print(_plain(rows))


def draw(rows: Rows) -> str:
    """A table as text."""
    if not _has_rich():
        return _plain(rows)
    text = StringIO()
    import_module("rich.console").Console(file=text, width=_UNLIMITED).print(_rich_table(rows))
    return text.getvalue().rstrip()


def _has_rich() -> bool:
    return find_spec("rich") is not None


def _plain(rows: Rows) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _rich_table(rows: Rows) -> Any:
    table = import_module("rich.table").Table(*rows[0])
    escape = import_module("rich.markup").escape
    for row in rows[1:]:
        table.add_row(*map(escape, row))
    return table
