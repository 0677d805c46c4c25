"""What a child process does: one engine and one model at a time.

    python -m benchmarks.session DESCRIPTOR

answers calls of `Session`'s methods that come over the connection DESCRIPTOR, until it is closed.
"""

import ctypes
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil

from benchmarks.engines import import_engine
from benchmarks.files import ModelFile
from benchmarks.workloads import Workload


class Session:
    """An engine, and what `turn` times."""

    engine: Any
    timed: Callable[[], Any]

    def start(self, engine: str, threads: int) -> float:
        """Import the engine; the seconds that its library takes."""
        begin = perf_counter()
        made = import_engine(engine)
        seconds = perf_counter() - begin
        self.engine = made(threads)
        return seconds

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the engine's own returns."""
        return getattr(self.engine, method)(*arguments)

    def load(self, workload: Workload, model: ModelFile) -> float:
        """Make ready to run the model; the seconds that it takes."""
        begin = perf_counter()
        self.engine.load(workload, model)
        return perf_counter() - begin

    def run(self, workload: Workload, batch: int) -> list[np.ndarray]:
        """The results for the workload's feeds; `turn` times this from now on."""
        feeds = workload.feeds(batch)
        self.timed = lambda: self.engine.run(feeds)
        return [np.asarray(result) for result in self.timed()]

    def train(self, workload: Workload, model: ModelFile, steps: int) -> list[float]:
        """The losses of the first steps; `turn` times the next from now on."""
        batch = workload.training_batch
        feeds, targets = workload.feeds(batch), workload.targets(batch)
        self.engine.load_training(workload, model)
        self.timed = lambda: self.engine.step(feeds, targets)
        return [self.timed() for _ in range(steps)]

    def export_to(self, workload: Workload, path: Path) -> None:
        """Let `turn` time exports of the loaded model from now on."""
        self.timed = partial(self.engine.export, workload, path)

    def turn(self, seconds: float) -> list[float]:
        """Seconds of each run; runs until `seconds` have passed, and at least one."""
        times = [_seconds(self.timed)]
        while sum(times) < seconds:
            times.append(_seconds(self.timed))
        return times

    def first_result(self, workload: Workload, model: ModelFile, batch: int) -> tuple[float, float]:
        """Seconds from the file to a model that is ready, and of its first run."""
        feeds = workload.feeds(batch)
        loading = self.load(workload, model)
        return loading, _seconds(lambda: self.engine.run(feeds))

    def peak_memory(self, workload: Workload, model: ModelFile, batch: int, runs: int) -> int:
        """How many bytes loading and running need at most, beyond the imported library."""
        before = psutil.Process().memory_info().rss
        feeds = workload.feeds(batch)
        self.engine.load(workload, model)
        for _ in range(runs):
            self.engine.run(feeds)
        return _peak() - before


def _peak() -> int:
    """The most memory in bytes that this program had; `ru_maxrss` counts what started it, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def _seconds(call: Callable[[], Any]) -> float:
    begin = perf_counter()
    call()
    return perf_counter() - begin


def serve(connection: Connection) -> None:
    """Answer calls until the parent closes its end."""
    end_with_parent()
    session = Session()
    with suppress(EOFError, BrokenPipeError):
        while True:
            method, arguments = connection.recv()
            connection.send(_outcome(session, method, arguments))


def end_with_parent() -> None:
    """Have Linux end this process with its parent: while it is stopped, it would not notice."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_PR_SET_PDEATHSIG = 1


def _outcome(session: Session, method: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, getattr(session, method)(*arguments)
    except Exception as error:
        traceback.print_exc()
        return False, " ".join(f"{type(error).__name__}: {error}".split())[:300]


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
