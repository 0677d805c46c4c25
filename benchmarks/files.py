"""The models' files: written once, and again when the code that makes them changes."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.workloads import Workload

HERE = Path(__file__).parent
CACHE = HERE.parent / "temp" / "benchmarks"

FACTS = "facts.json"

FORMS = ("path", "trainable", "older")
"""The files that the facts name."""

SHARED_SOURCES = ("build.py", "models/layers.py", "models/sequence.py")
"""What the files of all families depend on."""


@dataclass(frozen=True)
class ModelFile:
    """A written model.

    `path` is as exported by default, `trainable` has its batch norms kept, `older` is at an opset
    that importers know whose development has ended.
    """

    path: Path
    trainable: Path
    older: Path
    facts: dict[str, Any]


def find_model(workload: Workload) -> ModelFile | None:
    """The workload's files, if its code has written them."""
    folder = cache_folder(workload)
    if not folder.exists():
        return None
    facts = json.loads((folder / FACTS).read_text())
    return ModelFile(*(folder / facts[form] for form in FORMS), facts)


def cache_folder(workload: Workload) -> Path:
    """The folder of what this code makes of the workload."""
    digest = hashlib.sha256(f"{version('torch')} {workload}".encode())
    for source in (f"models/{workload.family}.py", *SHARED_SOURCES):
        digest.update((HERE / source).read_bytes())
    return CACHE / f"{workload.name}-{digest.hexdigest()[:12]}"


def start_folder(folder: Path) -> Path:
    """A new folder to write into, renamed to `folder` by `finish_folder`."""
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


def finish_folder(draft: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Note the facts and give the folder its name: it is complete, and older ones are gone."""
    (draft / FACTS).write_text(json.dumps(facts, indent=1))
    for older in folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*"):
        if older != draft:
            shutil.rmtree(older)
    draft.rename(folder)
