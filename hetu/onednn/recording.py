"""What would be run, where it is recorded instead (`watching.py`)."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch


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


class Recorded(NamedTuple):
    """A run of a step: the shape and strides of its result, and where the tensors lay."""

    step: Step
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    pointers: tuple[int, ...]


class Recording:
    """What a thread would run. It `is_whole` where nothing else would compute."""

    def __init__(self) -> None:
        self.runs: list[Recorded] = []
        self.is_whole = True

    def add(self, step: Step, tensors: Sequence[torch.Tensor]) -> None:
        """Take note of a run that makes the first of the tensors of the others."""
        result, pointers = tensors[0], tuple(tensor.data_ptr() for tensor in tensors)
        self.runs.append(Recorded(step, tuple(result.shape), result.stride(), pointers))


class _Recordings(threading.local):
    current: Recording | None = None


RECORDINGS = _Recordings()
