"""Tensors that are given or follow from a shape."""

import math

import numpy as np
import torch

from hetu.ops.kinds import Any, DType, Floats, Ints, Strs, Tensor
from hetu.ops.registry import op
from hetu.types import dtype as dtype_of


@op("Constant")
def constant(
    *,
    value: Tensor | None = None,
    sparse_value: Tensor | None = None,
    value_float: float | None = None,
    value_floats: Floats | None = None,
    value_int: int | None = None,
    value_ints: Ints | None = None,
    value_string: str | None = None,
    value_strings: Strs | None = None,
) -> Any:
    if value is not None or sparse_value is not None:
        return sparse_value if value is None else value
    if value_string is not None or value_strings is not None:
        return np.array(value_strings if value_string is None else value_string, object)
    if value_int is not None or value_ints is not None:
        return torch.tensor(value_ints if value_int is None else value_int, dtype=torch.int64)
    return torch.tensor(value_floats if value_float is None else value_float, dtype=torch.float32)


@op("ConstantOfShape", since=9)
def constant_of_shape(input: Ints, *, value: Tensor | None = None) -> Any:
    return torch.zeros(input) if value is None else value.reshape(()).expand(input)


@op("Range", since=11)
def range_(start: Tensor, limit: Tensor, delta: Tensor, *, stash_type: int = 1) -> Tensor:
    element = start.dtype
    if element in (torch.float16, torch.bfloat16):
        stash = dtype_of(stash_type).torch
        start, limit, delta = start.to(stash), limit.to(stash), delta.to(stash)
    count = max(0, math.ceil((limit - start).item() / delta.item()))
    steps = torch.arange(count, dtype=start.dtype, device=start.device)
    return (start + steps * delta).to(element)


@op("EyeLike", since=9)
def eye_like(input: Any, *, dtype: DType | None = None, k: int = 0) -> Any:
    rows, columns = (torch.arange(size, device=input.device) for size in input.shape)
    is_one = columns - rows.unsqueeze(1) == k
    return is_one.to(input.dtype if dtype is None else dtype.torch)
