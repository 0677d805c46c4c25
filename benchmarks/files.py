"""The models' files: written once, and again when the code that makes them changes."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = HERE.parent / "temp" / "benchmarks"


@dataclass(frozen=True)
class ModelFile:
    """A written model: `path` as exported by default, `trainable` with its batch norms kept."""

    path: Path
    trainable: Path
    facts: dict[str, Any]


def cache_folder(name: str, settings: object, *sources: str) -> Path:
    """The folder of what the files `sources`, relative to this one, make of the settings."""
    digest = hashlib.sha256(f"{version('torch')} {settings}".encode())
    for source in sources:
        digest.update((HERE / source).read_bytes())
    return CACHE / f"{name}-{digest.hexdigest()[:12]}"


def start_folder(folder: Path) -> Path:
    """A new folder to write into, renamed to `folder` by `finish_folder`."""
    draft = folder.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    return draft


def finish_folder(draft: Path, folder: Path, facts: dict[str, Any]) -> None:
    """Note the facts and give the folder its name: it is complete, and older ones are gone."""
    (draft / "facts.json").write_text(json.dumps(facts, indent=1))
    for older in folder.parent.glob(f"{folder.name.rpartition('-')[0]}-*"):
        if older != draft:
            shutil.rmtree(older)
    draft.rename(folder)


def read_facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "facts.json").read_text())
