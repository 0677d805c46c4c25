"""The parent's handle on a child process that runs an engine."""

import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from typing import Any, Self

from benchmarks.files import HERE

PATIENCE = 10
"""Seconds that a child has to end when it is asked to."""


class EngineError(Exception):
    """What went wrong in a child, in one line."""


class Worker:
    """A child that calls methods of `benchmarks.session.Session` on demand.

    Between calls it is stopped: threads that go on spinning would slow the other engines. What it
    prints is seen with the environment variable `BENCHMARKS_VERBOSE` only.
    """

    def __init__(self, engine: str, threads: int) -> None:
        self.engine = engine
        self._connection, theirs = Pipe()
        command = [sys.executable, "-m", "benchmarks.session", str(theirs.fileno())]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        output = None if os.environ.get("BENCHMARKS_VERBOSE") else subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, cwd=HERE.parent, env=environment, pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
        theirs.close()
        self.import_seconds: float = self.call("start", engine, threads)

    def call(self, method: str, *arguments: Any) -> Any:
        """What the session's method returns. Raises `EngineError` where it fails."""
        self._process.send_signal(signal.SIGCONT)
        try:
            self._connection.send((method, arguments))
            succeeded, outcome = self._connection.recv()
        except (EOFError, OSError) as error:
            raise EngineError(f"the process ended with {self._process.wait()}") from error
        self._process.send_signal(signal.SIGSTOP)
        if not succeeded:
            raise EngineError(outcome)
        return outcome

    def close(self) -> None:
        """End the child."""
        self._connection.close()
        self._process.send_signal(signal.SIGCONT)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
