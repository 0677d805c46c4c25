"""Mixed precision: what an executor computes in, and the scale of losses in float16."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from hetu.errors import UsageError, show
from hetu.ir import Value
from hetu.types import OptionalType, SequenceType, TensorType, ValueType

_TYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

_LOW = (torch.float16, torch.bfloat16)
_COMPUTED = (torch.float64, torch.float32, *_LOW)

_GROWTH_INTERVAL = 2000
_LIMIT = 2.0**127
"""The largest power of two in float32, in which losses are scaled."""


@dataclass(slots=True)
class LossScale:
    """What losses are multiplied by, and gradients divided by, so that float16 can hold those.

    It halves after a step whose gradients were not finite and doubles after 2000 others in a row,
    as in `torch.amp.GradScaler`. Being a power of two, it rounds nothing.
    """

    scale: float = 2.0**16
    steps: int = 0

    def update(self, is_finite: bool) -> None:
        """Take note of a step."""
        self.steps = self.steps + 1 if is_finite else 0
        if not is_finite:
            self.scale /= 2
        elif self.steps == _GROWTH_INTERVAL:
            self.scale, self.steps = min(self.scale * 2, _LIMIT), 0


class Precision:
    """What an executor computes in: the types of the graph, or a lower one by torch's autocast."""

    def __init__(self, name: str) -> None:
        if name not in _TYPES:
            raise UsageError(f"precision is {', '.join(map(repr, _TYPES))}, not {show(name)}")
        self.name = name
        self.dtype = _TYPES[name]
        self.loss_scale = LossScale() if self.dtype is torch.float16 else None

    def autocast(
        self, device: torch.device, variables: Iterable[Value]
    ) -> AbstractContextManager[Any]:
        """The context to compute in; a graph with variables in 16 bits has chosen by itself."""
        if self.dtype is None or any(v.dtype and v.dtype.torch in _LOW for v in variables):
            return nullcontext()
        return torch.autocast(device.type, self.dtype)

    def restored(self, result: Any, value: Value) -> Any:
        """A result in the type of its value, float32 where that is open and autocast lowered it."""
        return result if self.dtype is None else self._restored(result, value.type)

    def state(self) -> Mapping[str, Any]:
        """What training needs to go on as if it had never stopped."""
        scale = self.loss_scale
        return {} if scale is None else {"scale": scale.scale, "steps": scale.steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`; what was saved with another precision changes nothing."""
        if self.loss_scale is not None and state:
            self.loss_scale = LossScale(**state)

    def _restored(self, result: Any, type_: ValueType | None) -> Any:
        if isinstance(result, tuple):
            element = type_.element if isinstance(type_, SequenceType) else None
            return tuple(self._restored(part, element) for part in result)
        if isinstance(type_, OptionalType):
            return self._restored(result, type_.element)
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            return result
        declared = type_.dtype if isinstance(type_, TensorType) else None
        if declared is None:
            return result.float() if result.dtype is self.dtype else result
        return result.to(declared.torch) if declared.torch in _COMPUTED else result


def are_finite(overflows: Sequence[torch.Tensor]) -> bool:
    """Whether none of some flags is set; waits for the device once."""
    return not overflows or not bool(torch.stack(list(overflows)).any())
