"""Calls a kernel on values of types that torch cannot compute in."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from hetu.convert import narrow, widen
from hetu.ops.registry import Kernel
from hetu.types import DType, dtype


def widened(function: Callable[..., Any], kernel: Kernel) -> Callable[..., Any]:
    """`function`, the kernel's, with its tensors widened before and narrowed after each call.

    Strings become positions in the sorted list of all strings among the inputs, so that operators
    that move, compare or sort values serve strings as they are. Zero is the empty string: operators
    that fill up with zeros fill up with that.
    """

    def call(*inputs: Any, **bodies: Any) -> Any:
        positions = [i for i, value in enumerate(inputs) if _is_widened(kernel, i, value)]
        if not positions:
            return function(*inputs, **bodies)
        if "unsigned" in kernel.reserved and any(_is_uint64(inputs[i]) for i in positions):
            bodies["unsigned"] = True
        values, restore = _enter([inputs[i] for i in positions])
        arguments = list(inputs)
        for i, value in zip(positions, values, strict=True):
            arguments[i] = value
        return _leave(function(*arguments, **bodies), kernel, restore)

    return call


def _is_widened(kernel: Kernel, index: int, value: Any) -> bool:
    parameter = kernel.input_at(index)
    if parameter is None or parameter.kind not in ("Tensor", "HostTensor"):
        return False
    if isinstance(value, np.ndarray):
        return True
    return isinstance(value, torch.Tensor) and dtype(value.dtype).is_widened


def _is_uint64(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype is torch.uint64


def _enter(values: Sequence[Any]) -> tuple[list[torch.Tensor], Callable[[torch.Tensor], Any]]:
    """The values in computable form, and the way back for results."""
    if isinstance(values[0], np.ndarray):
        vocabulary = np.unique(np.concatenate([[""], *(value.reshape(-1) for value in values)]))
        codes = [torch.as_tensor(np.searchsorted(vocabulary, value)) for value in values]
        return codes, lambda result: _decode(vocabulary, result)
    element = dtype(values[0].dtype)
    return [widen(value) for value in values], lambda result: _narrow(result, element)


def _decode(vocabulary: np.ndarray, result: torch.Tensor) -> Any:
    if result.dtype != torch.int64:
        return result
    return np.asarray(vocabulary[result.numpy()], dtype=object)


def _narrow(result: torch.Tensor, element: DType) -> torch.Tensor:
    return narrow(result, element) if result.dtype == element.compute else result


def _leave(results: Any, kernel: Kernel, restore: Callable[[torch.Tensor], Any]) -> Any:
    if not isinstance(results, tuple):
        is_input_type = kernel.returns is not None and kernel.returns[0] == "Tensor"
        return restore(results) if is_input_type else results
    kinds = kernel.returns or ("Tensor",) * len(results)
    return tuple(
        restore(result) if kind == "Tensor" and result is not None else result
        for result, kind in zip(results, kinds, strict=True)
    )
