"""Data loaders, and the feed that they supply."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from hetu.api.value import Value
from hetu.errors import UsageError, show
from hetu.random import get_seed
from hetu.runtime.ndarray import NDArray
from hetu.runtime.update import FeedSource
from hetu.types import TensorType
from hetu.types import dtype as find_dtype


class Dataloader:
    """Batches of an array, over and over, for the subgraphs named `name` (a name or a list).

    `raw_data` is an array or a list of arrays to be joined along the first axis; `func` is applied
    to each of these, `batch_func` to each batch. `shuffle` puts the batches, not the samples, into
    a new order for every epoch. The order depends on the seed (`hetu.random`), the epoch and the
    number of batches alone, so that images and labels stay together. `offset` is the first batch.
    """

    def __init__(
        self,
        raw_data: Any,
        batch_size: int,
        name: str | Sequence[str] = "default",
        func: Callable[[Any], Any] | None = None,
        batch_func: Callable[[Any], Any] | None = None,
        shuffle: bool = False,
        drop_last: bool = True,
        offset: int = 0,
        dtype: Any = np.float32,
    ) -> None:
        self.name = name
        self.names = (name,) if isinstance(name, str) else tuple(name)
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.dtype = find_dtype(dtype)
        self._batch_func = batch_func
        self._all = _samples(raw_data, func).astype(self.dtype.numpy, copy=False)
        self._samples = self._all
        self._position = offset
        self._check()

    @property
    def samples_num(self) -> int:
        """How many samples there are."""
        return len(self._samples)

    @property
    def batch_num(self) -> int:
        """How many batches an epoch has."""
        count = self.samples_num / self.batch_size
        return math.floor(count) if self.drop_last else math.ceil(count)

    @property
    def last_batch_size(self) -> int:
        """The size of the batch that may be smaller than the others."""
        return min(self.batch_size, self.samples_num - self.batch_size * (self.batch_num - 1))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a batch, before `batch_func`."""
        return (self.batch_size, *self._samples.shape[1:])

    def get_batch_num(self) -> int:
        """See `batch_num`."""
        return self.batch_num

    def get_arr(self) -> Any:
        """The next batch; goes on to the one after it."""
        batch = self.get_next_arr()
        self._position += 1
        return batch

    def get_next_arr(self) -> Any:
        """The next batch; the position stays."""
        epoch, index = divmod(self._position, self.batch_num)
        if self.shuffle:
            index = int(_order(get_seed(), epoch, self.batch_num)[index])
        start = index * self.batch_size
        batch = self._samples[start : start + self.batch_size]
        return self._batch_func(batch) if self._batch_func else batch

    def set_batch_index(self, index: int) -> None:
        """Go to a batch of the current epoch."""
        self._position += index - self._position % self.batch_num

    @property
    def position(self) -> int:
        """How many batches were given."""
        return self._position

    @position.setter
    def position(self, position: int) -> None:
        self._position = position

    def set_dp_rank(self, dp_rank: int, dp_nrank: int) -> None:
        """Keep the samples of one of `dp_nrank` processes; all have equally many."""
        if not 0 <= dp_rank < dp_nrank:
            raise UsageError(f"rank {dp_rank} is not among {dp_nrank} processes")
        share = len(self._all) // dp_nrank
        self._samples = self._all[dp_rank * share : (dp_rank + 1) * share]
        self._check()

    def _check(self) -> None:
        if self.batch_size < 1:
            raise UsageError(f"batch_size is at least 1, not {self.batch_size}")
        if not self.batch_num:
            raise UsageError(
                f"Dataloader {show(self.name)}: {self.samples_num} samples make no batch of "
                f"{self.batch_size}; give a smaller batch_size, or drop_last=False"
            )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DataloaderOp(Value, FeedSource):
    """A feed that the loader of the running subgraph supplies."""

    loaders: Mapping[str, Dataloader] = field(default_factory=dict)

    def next_batch(self, subgraph: str, advance: bool = True) -> Any:
        """The next batch of the loader for a subgraph."""
        loader = self._loader(subgraph)
        return loader.get_arr() if advance else loader.get_next_arr()

    def set_batch_index(self, subgraph: str, index: int) -> None:
        """Go to a batch of the current epoch."""
        self._loader(subgraph).set_batch_index(index)

    def position(self, subgraph: str) -> int:
        """How many batches the loader for a subgraph gave."""
        return self._loader(subgraph).position

    def set_position(self, subgraph: str, position: int) -> None:
        """Let the loader for a subgraph go on as after so many batches."""
        self._loader(subgraph).position = position

    def batch_count(self, subgraph: str) -> int:
        """How many batches the loader for a subgraph has in an epoch."""
        return self._loader(subgraph).batch_num

    def _loader(self, subgraph: str) -> Dataloader:
        if subgraph not in self.loaders:
            known = ", ".join(map(show, self.loaders))
            raise UsageError(
                f"{show(self.name)} has no Dataloader named like the subgraph {show(subgraph)}; "
                f"it has {known}"
            )
        return self.loaders[subgraph]


def dataloader_op(
    dataloaders: Sequence[Dataloader | Sequence[Any] | Mapping[str, Any]],
    dtype: Any = None,
    name: str = "dataloader",
) -> DataloaderOp:
    """A feed whose values come from the loader named like the subgraph that runs.

    Loaders are given as such, or as the arguments of `Dataloader` in a list or a dict. `dtype` is
    the type of the feed; without it, that of the loaders.
    """
    options = {} if dtype is None else {"dtype": dtype}
    loaders = [_loader(loader, options) for loader in dataloaders]
    by_name = {key: loader for loader in loaders for key in loader.names}
    if not loaders or len(by_name) < sum(len(loader.names) for loader in loaders):
        names = [loader.name for loader in loaders]
        raise UsageError(f"a Dataloader for each subgraph is needed; the names are {show(names)}")
    elements = {loader.dtype for loader in loaders} if dtype is None else {find_dtype(dtype)}
    if len(elements) > 1:
        raise UsageError(f"the loaders have the types {', '.join(map(str, elements))}; give dtype")
    return DataloaderOp(name, TensorType(elements.pop()), casts=True, loaders=by_name)


def _loader(given: Any, options: Mapping[str, Any]) -> Dataloader:
    if isinstance(given, Dataloader):
        return given
    if isinstance(given, Mapping):
        return Dataloader(**{**options, **given})
    return Dataloader(*given, **options)


def _samples(raw_data: Any, func: Callable[[Any], Any] | None) -> np.ndarray:
    """All samples in one array; a list of arrays is joined, a list of anything else is an array."""
    is_list = isinstance(raw_data, list | tuple)
    is_chunks = is_list and any(isinstance(c, np.ndarray | NDArray) for c in raw_data)
    chunks = raw_data if is_chunks else [raw_data]
    arrays = [np.asarray(func(chunk) if func else chunk) for chunk in chunks]
    if not all(array.ndim for array in arrays):
        raise UsageError("the data of a Dataloader has a first axis, which runs over the samples")
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


@lru_cache(maxsize=16)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)
