"""Where the rules for operators on the meta device are registered, and what they are made of."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

META = torch.device("meta")

Rule = Callable[..., Any]
"""Takes an operator's arguments. Returns None where it does not know the result."""

RULES: dict[Any, Rule] = {}
"""The rules by torch's overloads of operators."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for all overloads of some operators that make new tensors.

    Operators that this version of torch does not have are passed over.
    """

    def register(function: Rule) -> Rule:
        packets = (getattr(torch.ops.aten, name, None) for name in names)
        for packet in filter(None, packets):
            for overload in packet.overloads():
                if not getattr(packet, overload)._schema.is_mutable:
                    RULES[getattr(packet, overload)] = function
        return function

    return register


def made(shape: Iterable[int], dtype: torch.dtype) -> Tensor:
    """A tensor without elements."""
    return torch.empty(tuple(shape), dtype=dtype, device=META)


def broadcast(*args: Any) -> tuple[int, ...]:
    """The shape of what is computed element by element from the tensors among some arguments."""
    return np.broadcast_shapes(*(a.shape for a in args if isinstance(a, Tensor)))
