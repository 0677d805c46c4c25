"""The variables of an executor and their current values."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import is_
from threading import Lock

import numpy as np
import torch

from hetu.convert import copied, to_torch
from hetu.errors import UsageError, show
from hetu.ir import Recipe, Schedule, Tensor, Value, unique_names
from hetu.runtime.results import storages

State = tuple[list[torch.Tensor], list[int], int]
"""Tensors, their versions and the number of threads: what is made of them holds while they do."""


def state_of(tensors: Iterable[torch.Tensor]) -> State:
    """The present state of some tensors."""
    listed = list(tensors)
    return listed, [tensor._version for tensor in listed], torch.get_num_threads()


def is_same(one: State, other: State) -> bool:
    """Whether two states are of the same tensors with the same contents, and of as many threads."""
    return one[1:] == other[1:] and all(map(is_, one[0], other[0]))


_NOTHING = torch.full((), torch.nan)
"""In the place of values that were given up: who reads it by mistake sees so."""


class ParameterStore:
    """Current values of variables, each under a name of its own.

    Values start as the arrays of the graph, which are never written to: `own` makes a variable's
    value a copy before something changes it in place.

    Memory of values that plans have in another form, and that nothing else was seen to need, may be
    given up. What is in `tensors` then has the same shape and no content: who reads it there has
    said so before (`keep`).
    """

    def __init__(
        self, variables: Sequence[Value], device: torch.device, random: np.random.Generator
    ) -> None:
        self.names = {name: value for value, name in unique_names(variables).items()}
        self.positions = {value: i for i, value in enumerate(variables)}
        self.tensors = [_initial(value, device, random) for value in variables]
        self._changes = 0
        self._is_lent = False
        self._variables = list(variables)
        self._storages: set[int] | None = None
        self._owned = {value for value in variables if isinstance(value.data, Recipe)}
        self._kept: set[int] = set()
        self._given_up: set[int] = set()
        self._lock = Lock()
        self._runs = {value: 0 for value in variables if isinstance(value.data, Schedule)}

    def __contains__(self, value: Value) -> bool:
        return value in self.positions

    def __getitem__(self, value: Value) -> torch.Tensor:
        position = self.positions[value]
        if not self._is_lent or position in self._given_up:
            with self._lock:
                self._is_lent = True
                self._bring_back([position])
        return self.tensors[position]

    def __setitem__(self, value: Value, tensor: torch.Tensor) -> None:
        position = self.positions[value]
        self._given_up.discard(position)
        self.tensors[position] = tensor
        self._changes += 1
        self._owned.add(value)
        self._storages = None

    @property
    def gives_up(self) -> bool:
        """Whether values may still be given up."""
        return not self._is_lent and len(self._kept) < len(self.tensors)

    @property
    def edition(self) -> int | None:
        """The same number while the values are the same; None once others may write to them."""
        return None if self._is_lent else self._changes

    @property
    def storages(self) -> set[int]:
        """Where the values lie, see `results.storage`."""
        if self._storages is None:
            self._storages = storages(self.tensors)
        return self._storages

    @property
    def nbytes(self) -> int:
        """The memory that the values take."""
        return sum(tensor.nbytes for tensor in self.tensors)

    def keep(self, positions: Iterable[int]) -> None:
        """Have values at some positions in `tensors`, now and later."""
        kept = set(positions)
        with self._lock:
            self._kept |= kept
            self._bring_back(kept)

    def read(self, position: int) -> torch.Tensor:
        """A value as it is now, whose memory is there while the result is."""
        with self._lock:
            self._bring_back([position])
            return self.tensors[position].detach()

    def give_up(self, position: int, make: Callable[[], np.ndarray]) -> None:
        """Let the memory of a value go that `make` can make again, unless others may use it."""
        value, tensor = self._variables[position], self.tensors[position]
        with self._lock:
            is_needed = self._is_lent or position in self._kept or value in self._owned
            if not is_needed and position not in self._given_up and isinstance(value.data, Tensor):
                value.data.give_up(make)
                self._given_up.add(position)
                tensor.data = _NOTHING.expand(tensor.shape)
                self._storages = None

    def _bring_back(self, positions: Iterable[int]) -> None:
        for position in self._given_up.intersection(positions):
            data = self._variables[position].data
            assert isinstance(data, Tensor)
            self.tensors[position].data = torch.from_numpy(data.array)
            self._given_up.discard(position)
            self._storages = None

    def is_changed(self, value: Value) -> bool:
        """Whether the value may differ from the graph's own data."""
        return value in self._owned

    def own(self, value: Value) -> torch.Tensor:
        """The value of a variable, safe to change in place."""
        if value not in self._owned:
            self[value] = copied(self[value])
        return self[value]

    def replace(self, updates: Collection[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Put new tensors in the place of old ones; those of no variable are passed over."""
        positions = {id(tensor): i for i, tensor in enumerate(self.tensors)} if updates else {}
        for old, new in updates:
            if id(old) in positions:
                self[self._variables[positions[id(old)]]] = new

    def count_run(self, variables: Iterable[Value]) -> None:
        """Take those of some variables that follow a schedule to their value after one more run."""
        for value in variables:
            if isinstance(value.data, Schedule):
                self._runs[value] += 1
                content = torch.from_numpy(value.data.after(self._runs[value]))
                self[value] = content.to(self[value].device)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The values by name."""
        return {name: self[value] for name, value in self.names.items()}

    def check_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Raise `UsageError` where a value has another shape than the variable of its name."""
        for name, value in self.names.items():
            if name in state and self[value].shape != state[name].shape:
                raise UsageError(
                    f"{show(name)}: the checkpoint has shape {list(state[name].shape)}, "
                    f"the graph has {list(self[value].shape)}"
                )

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over the values whose names the graph has; shapes must agree."""
        self.check_state_dict(state)
        for name, value in self.names.items():
            if name in state:
                current = self.own(value)
                current.copy_(state[name].to(current.dtype))

    @property
    def runs(self) -> dict[str, int]:
        """How many runs the variables with a schedule have seen, by name."""
        return {name: self._runs[v] for name, v in self.names.items() if v in self._runs}

    @runs.setter
    def runs(self, runs: Mapping[str, int]) -> None:
        self._runs |= {self.names[n]: count for n, count in runs.items() if n in self.runs}


def _initial(value: Value, device: torch.device, random: np.random.Generator) -> torch.Tensor:
    assert value.data is not None
    array = value.data.make(random) if isinstance(value.data, Recipe) else value.data.array
    tensor = to_torch(array, device)
    if not isinstance(tensor, torch.Tensor):
        raise UsageError(f"variable {show(value.name)} holds strings; make it a constant")
    return tensor
