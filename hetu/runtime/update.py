"""What an executor does beside computing values."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, ClassVar

import torch

from hetu.ir import Value
from hetu.runtime.params import ParameterStore


class Update(ABC):
    """A change of variables from values of the graph: what `minimize` returns.

    It may stand among the values an executor evaluates; its slot in the results is None. `trains`
    says whether a subgraph with it runs in training mode.
    """

    trains: ClassVar[bool] = False

    @property
    @abstractmethod
    def needed(self) -> Sequence[Value]:
        """The values of the graph that the update wants."""

    @abstractmethod
    def apply(self, store: ParameterStore, results: Sequence[torch.Tensor]) -> None:
        """Change variables, given the values wanted."""

    @abstractmethod
    def state_dict(self, store: ParameterStore) -> Mapping[str, torch.Tensor]:
        """What must be saved so that training goes on as if it had never stopped."""

    @abstractmethod
    def load_state_dict(self, store: ParameterStore, state: Mapping[str, torch.Tensor]) -> None:
        """The inverse of `state_dict`, for a state that `check_state_dict` accepts."""

    @abstractmethod
    def check_state_dict(self, store: ParameterStore, state: Mapping[str, torch.Tensor]) -> None:
        """Raise `UsageError` where a state is not one of this update."""

    def take_original(
        self, store: ParameterStore, tensors: MutableMapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        """A state from tensors named as Hetu names them; those used are taken out of `tensors`."""
        return {}


class FeedSource(ABC):
    """A feed that supplies its own values: a data loader's node."""

    @abstractmethod
    def next_batch(self, subgraph: str, advance: bool = True) -> Any:
        """The array for the next run of a subgraph; the one after it only if `advance`."""

    @abstractmethod
    def set_batch_index(self, subgraph: str, index: int) -> None:
        """Go to a batch of the current epoch."""

    @abstractmethod
    def position(self, subgraph: str) -> int:
        """How many batches a subgraph was given."""

    @abstractmethod
    def set_position(self, subgraph: str, position: int) -> None:
        """Go on as after so many batches."""

    @abstractmethod
    def batch_count(self, subgraph: str) -> int:
        """How many batches an epoch of a subgraph has."""
