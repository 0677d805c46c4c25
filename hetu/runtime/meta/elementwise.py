"""Operators that compute element by element, and those that make tensors of a given shape."""

from math import ceil
from typing import Any

import torch
from torch import Tensor

from hetu.runtime.meta.rules import META, broadcast, made, rule


@rule("add", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "maximum", "minimum", "mul")
def _keeping(*args: Any, **options: Any) -> Tensor | None:
    """Element by element, in the type of the tensors."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    dtype = tensors[0].dtype
    if dtype.is_complex or any(tensor.dtype is not dtype for tensor in tensors):
        return None
    kept = float | int if dtype.is_floating_point else bool if dtype is torch.bool else int
    numbers = [a for a in (*args, *options.values()) if isinstance(a, int | float | complex)]
    return made(broadcast(*tensors), dtype) if all(isinstance(n, kept) for n in numbers) else None


@rule(
    "__lshift__", "__rshift__", "abs", "ceil", "clamp", "floor", "fmod", "neg", "remainder",
    "round", "rsub", "sign", "sub",
)  # fmt: skip
def _of_numbers(*args: Any, **options: Any) -> Tensor | None:
    """Element by element, on numbers."""
    return None if args[0].dtype is torch.bool else _keeping(*args, **options)


@rule(
    "_prelu_kernel", "acos", "acosh", "addcmul", "asin", "asinh", "atan", "atan2", "atanh", "celu",
    "cos", "cosh", "div", "elu", "erf", "exp", "expm1", "gelu", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "lerp", "log", "log1p", "logaddexp", "mish", "pow", "reciprocal",
    "relu", "relu6", "rsqrt", "sigmoid", "silu", "sin", "sinh", "softplus", "sqrt", "square", "tan",
    "tanh",
)  # fmt: skip
def _floating(*args: Any, **options: Any) -> Tensor | None:
    """Element by element, on floating-point numbers."""
    return _keeping(*args) if args[0].is_floating_point() else None


@rule(
    "eq", "ge", "gt", "isfinite", "isinf", "isnan", "le", "logical_and", "logical_not",
    "logical_or", "logical_xor", "lt", "ne",
)  # fmt: skip
def _truth(*args: Any) -> Tensor:
    return made(broadcast(*args), torch.bool)


@rule("masked_fill")
def _masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    return made(broadcast(x, mask), x.dtype)


@rule("where")
def _where(condition: Tensor, x: Any = None, y: Any = None) -> Tensor | None:
    if not isinstance(x, Tensor) or not isinstance(y, Tensor) or x.dtype is not y.dtype:
        return None
    return made(broadcast(condition, x, y), x.dtype)


@rule(
    "_log_softmax", "_safe_softmax", "_softmax", "bernoulli", "clone", "empty_like", "full_like",
    "ones_like", "rand_like", "randn_like", "zeros_like",
)  # fmt: skip
def _like(x: Tensor, *args: Any, dtype: torch.dtype | None = None, **options: Any) -> Tensor | None:
    is_plain = options.get("layout") in (None, torch.strided) and options.get("device") is None
    is_kept = not any(arg is True for arg in args)  # `half_to_float`; an axis of 1 equals True
    return made(x.shape, dtype or x.dtype) if is_plain and is_kept else None


@rule("_to_copy")
def _to_copy(x: Tensor, *, dtype: torch.dtype | None = None, **options: Any) -> Tensor | None:
    return None if options.get("device") not in (None, META) else made(x.shape, dtype or x.dtype)


@rule("new_empty", "new_full", "new_ones", "new_zeros")
def _new(
    x: Tensor, size: Any, *args: Any, dtype: torch.dtype | None = None, **options: Any
) -> Tensor | None:
    return made(size, dtype or x.dtype) if options.get("device") in (None, META) else None


@rule("arange")
def _arange(*bounds: float, dtype: torch.dtype | None = None, **options: Any) -> Tensor | None:
    start, end, step = {1: (0, *bounds, 1), 2: (*bounds, 1), 3: bounds}[len(bounds)]
    count = ceil((end - start) / step) if step else -1
    kind = torch.int64 if all(isinstance(b, int) for b in bounds) else torch.get_default_dtype()
    return made((count,), dtype or kind) if count >= 0 else None


@rule("eye")
def _eye(*sizes: int, dtype: torch.dtype | None = None, **options: Any) -> Tensor:
    return made((sizes[0], sizes[-1]), dtype or torch.get_default_dtype())
