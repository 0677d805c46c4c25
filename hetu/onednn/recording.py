"""What would be run, where it is recorded instead (`watching.py`)."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from hetu.dispatch import without_modes

Form = tuple[torch.Size, tuple[int, ...]]
"""The shape and the strides of a tensor."""

Place = tuple[torch.Tensor, int]
"""So many bytes from where a tensor begins."""


def form_of(tensor: torch.Tensor) -> Form:
    """That of a tensor."""
    return tensor.shape, tensor.stride()


class Places(Protocol):
    """Where the tensors of a step lie, its result first; it is executed at their `address`."""

    address: Any

    def put(self, index: int, pointer: int) -> None:
        """Say where a tensor lies."""
        ...

    def put_workspace(self, pointer: int) -> None:
        """Say where the memory lies that the step works with, unless it is its own."""
        ...


class Step(Protocol):
    """What is run, on places that it makes. It works with so many bytes, its own if it is small."""

    scratchpad: int

    @property
    def is_small(self) -> bool:
        """Whether what it works with is its own."""
        ...

    @property
    def execute(self) -> Callable[[Any], int]:
        """What runs it; 0 says that all is well."""
        ...

    def arguments(self) -> Places:
        """New places."""
        ...


class Span(NamedTuple):
    """Where a tensor begins: in a buffer that the recording made, or (None) at an address."""

    buffer: int | None
    begin: int


class Recorded(NamedTuple):
    """A run of a step, and where its tensors lie, the one that it writes first."""

    step: Step
    spans: tuple[Span, ...]


class Recording:
    """What a thread would run. It `is_whole` where nothing else would compute.

    `buffers` are the forms of the tensors whose memory was made for results, and `others` are
    tensors that were read and are not in there, by their addresses.
    """

    def __init__(self) -> None:
        self.runs: list[Recorded] = []
        self.buffers: list[Form] = []
        self.others: dict[int, torch.Tensor] = {}
        self.is_whole = True
        self._latest: dict[int, int] = {}  # memory is used again: the last buffer that lay there

    def made(self, tensor: torch.Tensor) -> None:
        """Take note of new memory for a result."""
        if tensor.dtype is not torch.float32 or tensor.untyped_storage().nbytes() != tensor.nbytes:
            self.is_whole = False
        self._latest[tensor.data_ptr()] = len(self.buffers)
        self.buffers.append(form_of(tensor))

    def knows(self, tensor: torch.Tensor) -> None:
        """Take note of new memory that is there from now on, with contents."""
        self._latest.pop(tensor.data_ptr(), None)

    def add(self, step: Step, places: Sequence[Place]) -> None:
        """Take note of a run that writes to the first of some places, and reads from the others."""
        self.runs.append(Recorded(step, tuple(self.span(*place) for place in places)))

    def span(self, tensor: torch.Tensor, offset: int = 0) -> Span:
        """Where a tensor begins, or the part of it from a byte on."""
        base, begin = tensor.untyped_storage().data_ptr(), tensor.data_ptr() + offset
        if base and base in self._latest:
            return Span(self._latest[base], begin - base)
        self.others[begin] = tensor
        return Span(None, begin)


class _Recordings(threading.local):
    current: Recording | None = None


RECORDINGS = _Recordings()


def is_recording() -> bool:
    """Whether this thread records what it would run."""
    return RECORDINGS.current is not None


@contextmanager
def unrecorded() -> Iterator[None]:
    """Where this thread computes, whether or not it records what is around it."""
    recording, RECORDINGS.current = RECORDINGS.current, None
    try:
        with without_modes():
            yield
    finally:
        RECORDINGS.current = recording


def constant(array: np.ndarray) -> torch.Tensor:
    """A new tensor that steps read and nothing writes to, also while they are recorded."""
    tensor = torch.from_numpy(array)
    if RECORDINGS.current is not None:
        RECORDINGS.current.knows(tensor)
    return tensor
