"""Checkpoints: one safetensors file with everything that training needs to go on."""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from hetu.errors import StorageError, UsageError, show
from hetu.files import write_file
from hetu.random import get_seed_status, set_random_seed, step_seqnum
from hetu.runtime.original import Original, read_folder, read_pickle
from hetu.runtime.params import ParameterStore
from hetu.runtime.precision import Precision
from hetu.runtime.results import independent, storage
from hetu.runtime.subexecutor import SubExecutor
from hetu.runtime.update import Update

_FACTS = "hetu"
"""The entry of the metadata with what is no tensor, as JSON."""

_OWN = "hetu:"
"""What the names of tensors that are no variables begin with, unless a variable's does too."""

_RANDOM = "random"

_PICKLES = (b"\x80", b"\x1f\x8b")
"""How pickles, plain or gzipped, begin."""


@dataclass(frozen=True, slots=True)
class Training:
    """What goes into a checkpoint."""

    store: ParameterStore
    updates: Sequence[Update]
    generator: torch.Generator
    subgraphs: Sequence[SubExecutor]
    precision: Precision

    @property
    def loaders(self) -> dict[str, dict[str, int]]:
        """How many batches each data loader gave, by subgraph and feed."""
        return {g.name: {s.name: s.position(g.name) for s in g.sources} for g in self.subgraphs}  # pyright: ignore

    @property
    def generators(self) -> dict[str, torch.Generator]:
        """The generators by name: the executor's, and those of nodes with a seed of their own."""
        seeded = {
            f"{_seeded(graph)}{seed}": generator
            for graph in self.subgraphs
            for seed, generator in graph.seeded.items()
        }
        return {_RANDOM: self.generator} | seeded


def _seeded(graph: SubExecutor) -> str:
    return f"seeded/{graph.name}/"


class Section(Mapping[str, torch.Tensor]):
    """The tensors of a mapping whose names begin with a prefix, by the rest of their names."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], prefix: str) -> None:
        self._tensors, self._prefix = tensors, prefix

    def __getitem__(self, name: str) -> torch.Tensor:
        return self._tensors[self._prefix + name]

    def __contains__(self, name: object) -> bool:
        return f"{self._prefix}{name}" in self._tensors

    def __iter__(self) -> Iterator[str]:
        start = len(self._prefix)
        return (name[start:] for name in self._tensors if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _File(Mapping[str, torch.Tensor]):
    """The tensors of an open safetensors file, read when they are asked for."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened
        self._names = dict.fromkeys(opened.keys())

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        return self._opened.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def save_checkpoint(folder: str, file: str, training: Training, others: Any) -> None:
    """Write the file, or leave what was there untouched. `others` is anything JSON can hold."""
    tensors = training.store.state_dict()
    prefix = _prefix(tensors)
    for index, update in enumerate(training.updates):
        state = update.state_dict(training.store)
        tensors |= {f"{prefix}update/{index}/{key}": tensor for key, tensor in state.items()}
    tensors |= {f"{prefix}{n}": g.get_state() for n, g in training.generators.items()}
    facts = {
        "prefix": prefix,
        "updates": len(training.updates),
        "runs": training.store.runs,
        "loaders": training.loaders,
        "seed": get_seed_status(),
        "precision": training.precision.state(),
        "others": others,
    }
    path = Path(folder) / file
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata, plain = {_FACTS: json.dumps(facts)}, _plain(tensors)

    def write(opened: FileIO) -> None:
        try:
            save_file(plain, opened.name, metadata)
        except SafetensorError as error:
            reason = f"cannot write {show(str(path))}: {error}; what was there is unchanged"
            raise StorageError(reason) from error

    write_file(path, write)


def _prefix(names: Mapping[str, Any]) -> str:
    prefix = _OWN
    while any(name.startswith(prefix) for name in names):
        prefix = f"{prefix}:"
    return prefix


def _plain(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors in main memory, each with memory of its own, as the format wants it."""
    plain: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain[name] = independent(tensor.detach().cpu().contiguous(), seen)
        seen.add(storage(plain[name]))
    return plain


def load_checkpoint(folder: str, file: str, training: Training) -> Any:
    """Read a checkpoint of any form; returns its `others`.

    Raises `UsageError` where the file is broken or does not fit; then nothing is changed. A warning
    says what it holds that the graph has no place for.
    """
    path = Path(folder) / file
    if path.is_file() or not Path(folder).exists():
        return _load_file(path, training)
    if Path(folder).is_file():
        return _load_file(Path(folder), training)
    for candidate in (path, Path(folder)):
        if any(candidate.rglob("*.npy")):
            return _load_original(candidate, read_folder(candidate), training)
    return _load_file(path, training)


def _load_file(path: Path, training: Training) -> Any:
    try:
        with safe_open(path, "pt") as opened:
            facts = json.loads((opened.metadata() or {}).get(_FACTS, "{}"))
            if not isinstance(facts, dict):
                raise ValueError(f"its metadata is {show(facts)}")
            return _load(path, _File(opened), facts, training)
    except (OSError, SafetensorError, ValueError) as error:
        if _is_pickle(path):
            return _load_original(path, read_pickle(path), training)
        raise UsageError(f"{show(str(path))} is no checkpoint: {error}") from error


def _is_pickle(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(2).startswith(_PICKLES)


def _load(
    path: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any], training: Training
) -> Any:
    """Take over a file that `save_checkpoint` wrote, or any other with the variables' names."""
    store, prefix = training.store, facts.get("prefix", _OWN)
    _check_complete(path, tensors, list(store.names))
    updates = training.updates[: facts.get("updates", 0)]
    states = [Section(tensors, f"{prefix}update/{i}/") for i in range(len(updates))]
    _check(training, tensors, updates, states)
    if len(updates) < len(training.updates):
        _warn(f"{show(str(path))} has no state of some optimizers; they go on as they are")
    _take_over(training, tensors, updates, states)
    if prefix + _RANDOM in tensors:
        _set_generator(training.generator, tensors[prefix + _RANDOM])
    for graph in training.subgraphs:
        for seed, state in Section(tensors, prefix + _seeded(graph)).items():
            _set_generator(graph.generator_of(int(seed)), state)
    store.runs = facts.get("runs", {})
    _set_loaders(training, facts.get("loaders", {}))
    _set_seed(facts.get("seed"))
    training.precision.load_state(facts.get("precision", {}))
    return facts.get("others")


def _load_original(path: Path, original: Original, training: Training) -> Any:
    store = training.store
    trained = [name for name, value in store.names.items() if value.trainable]
    _check_complete(path, original.tensors, trained or list(store.names))
    rest = {n: tensor for n, tensor in original.tensors.items() if n not in store.names}
    states = [update.take_original(store, rest) for update in training.updates]
    tensors = {n: _shaped(t, store, n) for n, t in original.tensors.items() if n in store.names}
    _check(training, tensors, training.updates, states)
    absent = [name for name in store.names if name not in tensors]
    if rest or absent:
        _warn(
            f"{show(str(path))}: no place for {_listed(rest) or 'nothing'}; "
            f"without {_listed(absent) or 'nothing'}, which stays as it is"
        )
    _take_over(training, tensors, training.updates, states)
    _set_seed(original.seed)
    return original.others or None


def _shaped(tensor: torch.Tensor, store: ParameterStore, name: str) -> torch.Tensor:
    """The tensor, as a scalar where the variable is one: Hetu's scalars have the shape (1,)."""
    shape = store[store.names[name]].shape
    return tensor.reshape(()) if tensor.shape == (1,) and shape == () else tensor


def _check_complete(path: Path, tensors: Mapping[str, Any], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in tensors]
    if missing:
        raise UsageError(
            f"{show(str(path))} lacks {_listed(missing)}; it has {_listed(tensors) or 'nothing'}. "
            "Executor.load_dict takes over what there is"
        )


def _listed(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return ", ".join(map(show, names[:8])) + more


def _check(
    training: Training,
    tensors: Mapping[str, torch.Tensor],
    updates: Sequence[Update],
    states: Sequence[Mapping[str, torch.Tensor]],
) -> None:
    training.store.check_state_dict(tensors)
    for update, state in zip(updates, states, strict=True):
        update.check_state_dict(training.store, state)


def _take_over(
    training: Training,
    tensors: Mapping[str, torch.Tensor],
    updates: Sequence[Update],
    states: Sequence[Mapping[str, torch.Tensor]],
) -> None:
    training.store.load_state_dict(tensors)
    for update, state in zip(updates, states, strict=True):
        update.load_state_dict(training.store, state)


def _set_generator(generator: torch.Generator, state: torch.Tensor) -> None:
    if generator.get_state().shape != state.shape:
        _warn("the random state was saved on another kind of device; random numbers start anew")
        return
    generator.set_state(state)


def _set_loaders(training: Training, positions: Mapping[str, Mapping[str, int]]) -> None:
    for graph in training.subgraphs:
        for source in graph.sources:
            position = positions.get(graph.name, {}).get(source.name)  # pyright: ignore
            if position is not None:
                source.set_position(graph.name, position)


def _set_seed(seed: Sequence[int] | None) -> None:
    if seed is not None:
        set_random_seed(seed[0])
        step_seqnum(seed[1])


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=5)
