"""What kernels do for themselves where torch's autocast is on."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import Any

import torch

_LOW = (torch.float16, torch.bfloat16)


def outside_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Where values on a device are computed in the types that they have."""
    return torch.autocast(device.type, enabled=False) if is_on(device) else nullcontext()


def is_on(device: torch.device) -> bool:
    """Whether autocast lowers types on a device; not all of torch's devices know of it."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def exactly(function: Callable[..., torch.Tensor], *operands: torch.Tensor) -> torch.Tensor:
    """`function(*operands)` in the operands' own type, the widest where autocast has mixed them."""
    with outside_autocast(operands[0].device):
        return function(*together(*operands))


def together(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Numbers that an operator wants in one type, in the widest of theirs: autocast lowers some."""
    if len({tensor.dtype for tensor in tensors}) < 2:
        return tensors
    widest = reduce(torch.promote_types, (tensor.dtype for tensor in tensors))
    return tuple(tensor.to(widest) for tensor in tensors)


def raised(x: torch.Tensor) -> torch.Tensor:
    """`x`, in float32 where autocast lowered it: so losses are computed, whatever the device."""
    return x.float() if x.dtype in _LOW and is_on(x.device) else x
