"""Checkpoints: one safetensors file with everything that training needs to go on."""

import json
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hetu.errors import StorageError, UsageError, show
from hetu.files import write_file
from hetu.runtime.params import ParameterStore
from hetu.runtime.results import independent, storage
from hetu.runtime.update import Update

_RANDOM = "random_state"


def save_checkpoint(
    folder: str,
    file: str,
    store: ParameterStore,
    updates: Sequence[Update],
    generator: torch.Generator,
    others: Any,
) -> None:
    """Write the file, or leave what was there untouched. `others` is anything JSON can hold."""
    tensors = {f"variable/{name}": tensor for name, tensor in store.state_dict().items()}
    for index, update in enumerate(updates):
        tensors |= {f"update/{index}/{k}": t for k, t in update.state_dict(store).items()}
    tensors[_RANDOM] = generator.get_state()
    path = Path(folder) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "hetu", "others": json.dumps(others)}
    plain = _plain(tensors)

    def write(opened: FileIO) -> None:
        try:
            save_file(plain, opened.name, metadata)
        except SafetensorError as error:
            reason = f"cannot write {show(str(path))}: {error}; what was there is unchanged"
            raise StorageError(reason) from error

    write_file(path, write)


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in main memory, each with memory of its own, as the format wants it."""
    plain: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain[name] = independent(tensor.detach().cpu().contiguous(), seen)
        seen.add(storage(plain[name]))
    return plain


def load_checkpoint(
    folder: str,
    file: str,
    store: ParameterStore,
    updates: Sequence[Update],
    generator: torch.Generator,
) -> Any:
    """Read a checkpoint into variables, updates and generator; returns its `others`."""
    path = Path(folder) / file
    try:
        with safe_open(path, "pt") as content:
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
            metadata = content.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{show(str(path))} is no checkpoint: {error}") from error
    store.load_state_dict(_section(tensors, "variable/"))
    for index, update in enumerate(updates):
        update.load_state_dict(store, _section(tensors, f"update/{index}/"))
    if _RANDOM in tensors:
        generator.set_state(tensors[_RANDOM])
    return json.loads(metadata.get("others", "null"))


def _section(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
