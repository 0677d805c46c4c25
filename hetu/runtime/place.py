"""Calls a kernel with all of its tensors on one device.

Shapes and what is computed from them alone stay on the host, so that nothing waits for a GPU to
learn a size; where such a value meets one on the device, it follows it there.
"""

from collections.abc import Callable
from typing import Any

import torch

from hetu.ops.registry import Kernel


def placed(
    function: Callable[..., Any], kernel: Kernel, device: torch.device
) -> Callable[..., Any]:
    """`function`, the kernel's, with host tensors moved to `device` where another input is there.

    The copy of an input that is the same object in every run, a constant, is kept. What goes into
    bodies stays where it is: their nodes are placed one by one.
    """
    copies: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def is_there(value: Any) -> bool:
        return isinstance(value, torch.Tensor) and value.device.type == device.type

    def move(index: int, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or is_there(value):
            return value
        parameter = kernel.input_at(index)
        if parameter is None or parameter.kind == "HostTensor":
            return value
        if index not in copies or copies[index][0] is not value:
            copies[index] = value, value.to(device)
        return copies[index][1]

    def call(*inputs: Any, **bodies: Any) -> Any:
        if not bodies and any(map(is_there, inputs)):
            inputs = tuple(move(index, value) for index, value in enumerate(inputs))
        return function(*inputs, **bodies)

    return call
