"""The variables of an executor and their current values."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import torch

from hetu.convert import copied, to_torch
from hetu.errors import UsageError, show
from hetu.ir import Recipe, Schedule, Value, unique_names
from hetu.runtime.results import storages

_RUNS = "/runs"


class ParameterStore:
    """Current values of variables, each under a name of its own.

    Values start as the arrays of the graph, which are never written to: `own` makes a variable's
    value a copy before something changes it in place.
    """

    def __init__(
        self, variables: Sequence[Value], device: torch.device, random: np.random.Generator
    ) -> None:
        self.names = {name: value for value, name in unique_names(variables).items()}
        self.positions = {value: i for i, value in enumerate(variables)}
        self.tensors = [_initial(value, device, random) for value in variables]
        self._variables = list(variables)
        self._storages: set[int] | None = None
        self._owned = {value for value in variables if isinstance(value.data, Recipe)}
        self._runs = {value: 0 for value in variables if isinstance(value.data, Schedule)}

    def __contains__(self, value: Value) -> bool:
        return value in self.positions

    def __getitem__(self, value: Value) -> torch.Tensor:
        return self.tensors[self.positions[value]]

    def __setitem__(self, value: Value, tensor: torch.Tensor) -> None:
        self.tensors[self.positions[value]] = tensor
        self._owned.add(value)
        self._storages = None

    @property
    def storages(self) -> set[int]:
        """Where the values lie, see `results.storage`."""
        if self._storages is None:
            self._storages = storages(self.tensors)
        return self._storages

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
        """The values by name, and how many runs those with a schedule have seen."""
        runs = {
            f"{name}{_RUNS}": torch.tensor(self._runs[value])
            for name, value in self.names.items()
            if value in self._runs
        }
        return {name: self[value] for name, value in self.names.items()} | runs

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take over the values whose names the graph has; shapes must agree."""
        known = {name: tensor for name, tensor in state.items() if name in self.names}
        for name, tensor in known.items():
            current = self[self.names[name]]
            if current.shape != tensor.shape:
                raise UsageError(
                    f"{show(name)}: the checkpoint has shape {list(tensor.shape)}, "
                    f"the graph has {list(current.shape)}"
                )
        for name, tensor in known.items():
            current = self.own(self.names[name])
            current.copy_(tensor.to(current.dtype))
        for name, value in self.names.items():
            if value in self._runs and f"{name}{_RUNS}" in state:
                self._runs[value] = int(state[f"{name}{_RUNS}"])


def _initial(value: Value, device: torch.device, random: np.random.Generator) -> torch.Tensor:
    assert value.data is not None
    array = value.data.make(random) if isinstance(value.data, Recipe) else value.data.array
    tensor = to_torch(array, device)
    if not isinstance(tensor, torch.Tensor):
        raise UsageError(f"variable {show(value.name)} holds strings; make it a constant")
    return tensor
