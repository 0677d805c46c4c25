"""ONNX Runtime's side of a comparison, in a process of its own: bad models can crash it."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hetu.errors import UsageError
from hetu.onnx.verification.child.exchange import read_values, write_values

_CHILD = Path(__file__).parent / "child"
_SHOWN_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Job:
    """A model file to run.

    `external` is the folder of its external data where that is not the file's own. Without
    `optimize`, nodes run as they are.
    """

    model: Path
    external: Path | None = None
    optimize: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """What one side made of a model: its outputs, or an error and the stage ("load", "run")."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    stage: str = ""


def check_installed() -> None:
    """Raise `UsageError` where ONNX Runtime is missing."""
    if find_spec("onnxruntime") is None:
        raise UsageError("verify needs ONNX Runtime: pip install 'hetu-onnx[verify]'")


def run_onnx_runtime(
    job: Job, feeds: Mapping[str, Any] | None, folder: Path, timeout: float | None
) -> Run:
    """Run a model in a child process; without feeds it is only loaded. `folder` must not exist."""
    folder.mkdir()
    content = {
        "model": str(job.model.resolve()),
        "external": None if job.external is None else str(job.external.resolve()),
        "optimize": job.optimize,
        "feeds": None if feeds is None else write_values(feeds, folder / "feeds"),
    }
    (folder / "job.json").write_text(json.dumps(content))
    try:
        child = subprocess.run(
            [sys.executable, str(_CHILD), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return Run(error=f"no result after {timeout:g} seconds", stage="run")
    result = folder / "result.json"
    if child.returncode or not result.exists():
        return Run(error=_death(child.returncode, child.stdout), stage="run")
    return _read_result(json.loads(result.read_text()), folder / "outputs")


def _read_result(result: Mapping[str, Any], folder: Path) -> Run:
    if "error" in result:
        return Run(error=result["error"], stage=result["stage"])
    return Run(read_values(result.get("outputs", {}), folder))


def _death(code: int, said: bytes) -> str:
    """How the child ended, and the last that it said."""
    cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    text = said[-_SHOWN_BYTES:].decode(errors="replace").strip()
    return f"the process died: {cause}" + (f"\n{text}" if text else "")
