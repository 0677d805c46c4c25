"""Trigonometric and hyperbolic functions and their inverses."""

import torch

from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op("Sin", since=7)
def sin(input: Tensor) -> Tensor:
    return torch.sin(input)


@op("Cos", since=7)
def cos(input: Tensor) -> Tensor:
    return torch.cos(input)


@op("Tan", since=7)
def tan(input: Tensor) -> Tensor:
    return torch.tan(input)


@op("Asin", since=7)
def asin(input: Tensor) -> Tensor:
    return torch.asin(input)


@op("Acos", since=7)
def acos(input: Tensor) -> Tensor:
    return torch.acos(input)


@op("Atan", since=7)
def atan(input: Tensor) -> Tensor:
    return torch.atan(input)


@op("Sinh", since=9)
def sinh(input: Tensor) -> Tensor:
    return torch.sinh(input)


@op("Cosh", since=9)
def cosh(input: Tensor) -> Tensor:
    return torch.cosh(input)


@op("Asinh", since=9)
def asinh(input: Tensor) -> Tensor:
    return torch.asinh(input)


@op("Acosh", since=9)
def acosh(input: Tensor) -> Tensor:
    return torch.acosh(input)


@op("Atanh", since=9)
def atanh(input: Tensor) -> Tensor:
    return torch.atanh(input)
