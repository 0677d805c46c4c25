"""Hetu's own checkpoints, in the three forms it had.

A folder with a `.npy` file for each variable; a pickle of a dict from names to arrays; a pickle of
a dict with these under "state_dict", the seed, and whatever else the script gave.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hetu import unpickle
from hetu.errors import UsageError, show

_STATE, _SEED = "state_dict", "seed"


@dataclass(frozen=True, slots=True)
class Original:
    """What a checkpoint holds; `seed` is a seed and the number of draws, `others` the rest."""

    tensors: dict[str, torch.Tensor]
    seed: tuple[int, int] | None = None
    others: dict[str, Any] = field(default_factory=dict)


def read_folder(folder: Path) -> Original:
    """The `.npy` files of a folder; a `/` in a variable's name led to a folder inside of it."""
    paths = {p.relative_to(folder).as_posix()[:-4]: p for p in sorted(folder.rglob("*.npy"))}
    try:
        arrays = {name: np.load(path, allow_pickle=False) for name, path in paths.items()}
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{show(str(folder))} is no checkpoint: {error}") from error
    return Original(_tensors(folder, arrays))


def read_pickle(path: Path) -> Original:
    """Either form of pickle. Raises `UsageError` where it holds anything but arrays by name."""
    content = unpickle.load(path)
    if not isinstance(content, dict):
        raise UsageError(f"{show(str(path))} is no checkpoint: it holds no dict")
    if not isinstance(content.get(_STATE), dict):
        return Original(_tensors(path, content))
    others = {key: value for key, value in content.items() if key not in (_STATE, _SEED)}
    return Original(_tensors(path, content[_STATE]), _seed(path, content.get(_SEED)), others)


def _seed(path: Path, seed: Any) -> tuple[int, int] | None:
    if seed is None:
        return None
    numbers = seed if isinstance(seed, tuple | list) else (seed, 0)
    if len(numbers) != 2 or not all(isinstance(n, int | np.integer) and n >= 0 for n in numbers):
        raise UsageError(f"{show(str(path))}: {show(seed)} is no seed with its number of draws")
    return int(numbers[0]), int(numbers[1])


def _tensors(path: Path, arrays: dict[Any, Any]) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, content in arrays.items():
        array = np.asarray(content)
        if not isinstance(name, str) or array.dtype.kind not in "biuf":
            raise UsageError(f"{show(str(path))}: {show(name)} is no array of numbers")
        tensors[name] = torch.from_numpy(
            np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
        )
    return tensors
