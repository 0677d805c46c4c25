"""A progress bar on the terminal for what takes long."""

import math
import sys
import time
from threading import Lock
from typing import Any, Self

SECONDS_UNTIL_SHOWN = 2.0


class Progress:
    """Counts bytes. A bar is shown once 2 seconds have passed, where stderr is a terminal.

    The bar is rich's; where rich is not installed there is none.
    """

    def __init__(self, title: str, total: int = 0) -> None:
        self._title = title
        self._total = total
        self._done = 0
        self._lock = Lock()
        self._show_at = time.monotonic() + SECONDS_UNTIL_SHOWN
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, count: int) -> None:
        """Count some more bytes as to be done."""
        self._total += count

    def advance(self, count: int) -> None:
        """Count some more bytes as done; any thread may."""
        with self._lock:
            self._done += count
            if time.monotonic() >= self._show_at:
                self._show_at = math.inf
                self._bar = _started_bar(self._title, self._total)
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._done)


def _started_bar(title: str, total: int) -> Any:
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn
    except ImportError:
        return None
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(title, total=total)
    bar.start()
    return bar
