"""Which variables a packed weight has all elements of, and how they are taken out of it again."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch

from hetu.ir import Node, Tensor, Value
from hetu.ops.native import Packed, holds, unpacked
from hetu.passes.facts import is_fused

Take = Callable[[], np.ndarray]


def variables_in(
    packed: Packed, node: Node, content_of: Callable[[Value], Any]
) -> Iterator[tuple[Value, Take]]:
    """The variables that a node packed whole, alone or joined, each with what makes its array."""
    pending = [value for value in node.inputs if value is not None]
    while pending:
        value = pending.pop()
        content = content_of(value)
        is_whole = isinstance(content, torch.Tensor) and holds(packed, content)
        if is_whole and _is_variable(value):
            yield value, partial(_whole, packed, content.shape)
        elif value.node is None:
            continue
        elif is_whole and is_fused(value.node, "JoinWeights"):
            yield from _parts(packed, value.node, content.shape)
        else:
            pending += [v for v in value.node.inputs if v is not None]


def _is_variable(value: Value) -> bool:
    return isinstance(value.data, Tensor) and not value.constant


def _parts(packed: Packed, join: Node, shape: torch.Size) -> Iterator[tuple[Value, Take]]:
    """The variables that a node joined, if they are all that it did."""
    axis = join.attributes["axis"].value
    data = [value.data for value in join.inputs if value is not None]
    tensors = [tensor for tensor in data if isinstance(tensor, Tensor)]
    if len(tensors) < len(join.inputs):
        return
    ends = [0, *accumulate(tensor.shape[axis] for tensor in tensors)]
    for value, begin, end in zip(join.inputs, ends, ends[1:], strict=False):
        if value is not None and _is_variable(value):
            yield value, partial(_part, packed, shape, axis, begin, end)


def _whole(packed: Packed, shape: torch.Size) -> np.ndarray:
    return unpacked(packed).view(shape).numpy()


def _part(packed: Packed, shape: torch.Size, axis: int, begin: int, end: int) -> np.ndarray:
    return unpacked(packed).view(shape).narrow(axis, begin, end - begin).contiguous().numpy()
