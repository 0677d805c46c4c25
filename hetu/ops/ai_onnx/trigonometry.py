"""Trigonometric and hyperbolic functions and their inverses."""

import torch

from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op("Sin", since=7, calls=torch.sin)
def sin(input: Tensor) -> Tensor: ...


@op("Cos", since=7, calls=torch.cos)
def cos(input: Tensor) -> Tensor: ...


@op("Tan", since=7, calls=torch.tan)
def tan(input: Tensor) -> Tensor: ...


@op("Asin", since=7, calls=torch.asin)
def asin(input: Tensor) -> Tensor: ...


@op("Acos", since=7, calls=torch.acos)
def acos(input: Tensor) -> Tensor: ...


@op("Atan", since=7, calls=torch.atan)
def atan(input: Tensor) -> Tensor: ...


@op("Sinh", since=9, calls=torch.sinh)
def sinh(input: Tensor) -> Tensor: ...


@op("Cosh", since=9, calls=torch.cosh)
def cosh(input: Tensor) -> Tensor: ...


@op("Asinh", since=9, calls=torch.asinh)
def asinh(input: Tensor) -> Tensor: ...


@op("Acosh", since=9, calls=torch.acosh)
def acosh(input: Tensor) -> Tensor: ...


@op("Atanh", since=9, calls=torch.atanh)
def atanh(input: Tensor) -> Tensor: ...
