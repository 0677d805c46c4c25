"""The vocabulary of kernel signatures: what a kernel is handed and what it returns.

Inputs and outputs:

- `Tensor`: a tensor on the run's device, in a type that torch computes in. Types that torch cannot
  compute in and strings are converted before the call; a returned `Tensor` is converted back.
- `HostTensor`: a tensor that stays in host memory: shapes and what is computed from them.
- `Any`: the value as it is stored, of whatever type (tensor, string array, sequence, map, None).
- `Strings`: a numpy object array.
- `Ints`, `Floats`, `int`, `float`, `bool`: the elements of a host tensor, as Python values.
- `Indices` (integers; as an output int64) and `Mask` (bool): tensors with a type of their own. As
  inputs they say nothing of the outputs' type, and as outputs nothing of the inputs'.

Attributes: `int`, `float`, `bool`, `str`, `bytes`, `Ints`, `Floats`, `Strs`, `DType` (an ONNX type
code), `Tensor`, `Type`, `Body` (a graph).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import numpy as np
import torch

from hetu.types import DType, ValueType

Tensor = torch.Tensor
HostTensor = Annotated[torch.Tensor, "HostTensor"]
Indices = Annotated[torch.Tensor, "Indices"]
Mask = Annotated[torch.Tensor, "Mask"]
Strings = np.ndarray
Ints = tuple[int, ...]
Floats = tuple[float, ...]
Strs = tuple[str, ...]
Type = Annotated[ValueType, "Type"]

__all__ = [
    "Any", "Body", "Context", "DType", "Floats", "HostTensor", "Indices", "Ints", "Mask",
    "Strings", "Strs", "Tensor", "Type",
]  # fmt: skip


class Body(Protocol):
    """A graph attribute: call it with its inputs' values, get its outputs' values."""

    input_types: Sequence[ValueType | None]
    output_types: Sequence[ValueType | None]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Run the graph."""
        ...


@dataclass(slots=True)
class Context:
    """What a run tells its kernels.

    `training` is None where nodes do as their own attributes say. `updates` receives the new values
    of kernels' buffers, as pairs (tensor that went in, tensor that replaces it) by the id of the
    first. `seeded` holds the generators of nodes with a seed of their own. `sparse` says that
    gradients of tables may be sparse tensors. `loss_scale` is what losses are multiplied by while
    gradients are taken; then `overflows` receives a flag for each gradient that is not finite.
    """

    training: bool | None = None
    generator: torch.Generator | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    updates: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    seeded: dict[int, torch.Generator] = field(default_factory=dict)
    sparse: bool = False
    loss_scale: float | None = None
    overflows: list[torch.Tensor] = field(default_factory=list)

    def is_training(self, training_mode: bool) -> bool:
        """Whether a node that asks for `training_mode` trains in this run."""
        return training_mode if self.training is None else self.training

    def generator_of(self, seed: int | None) -> torch.Generator | None:
        """What a node with this seed draws from: one stream through all runs."""
        if seed is None:
            return self.generator
        if seed not in self.seeded:
            self.seeded[seed] = torch.Generator(self.device).manual_seed(seed)
        return self.seeded[seed]
