"""Operators that compute element by element, or along an axis."""

from collections.abc import Callable
from functools import reduce
from math import prod
from typing import Any

import numpy as np

from hetu.ir import Node
from hetu.passes.facts import argument
from hetu.runtime.shapes.rules import (
    LARGEST,
    Known,
    are_alike,
    are_floats,
    broadcast,
    is_axis,
    rule,
)
from hetu.types import BOOL, INT32, INT64, DType, dtype


def _largest(*given: np.ndarray) -> np.ndarray:
    return reduce(np.maximum, given)


def _smallest(*given: np.ndarray) -> np.ndarray:
    return reduce(np.minimum, given)


_ON_HOST: dict[str, Callable[..., Any]] = {
    "Add": np.add, "And": np.logical_and, "Equal": np.equal, "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal, "Less": np.less, "LessOrEqual": np.less_equal,
    "Max": _largest, "Min": _smallest, "Mul": np.multiply, "Not": np.logical_not,
    "Or": np.logical_or, "Sub": np.subtract, "Where": np.where, "Xor": np.logical_xor,
}  # fmt: skip
"""What computes truth values and numbers of type int64 on the host."""


def _computed(node: Node, element: DType, *given: Known) -> Known | None:
    """What is computed element by element, of a type: on the host, if all inputs are there."""
    arrays = [each.array for each in given if each.array is not None]
    shape = broadcast(*given)
    if len(arrays) < len(given):
        return Known(element, shape)
    compute = _ON_HOST.get(node.op_type)
    if compute is None or any(each.dtype not in (BOOL, INT64) for each in given):
        return None
    if prod(shape) > LARGEST:
        return None
    array = np.asarray(compute(*arrays))
    return Known(element, array.shape, array)


@rule(
    "Abs", "Ceil", "Cos", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin", "Softplus",
    "Softsign", "Sqrt", "Tanh",
)  # fmt: skip
def _floating(node: Node, x: Known) -> Known | None:
    """Element by element, on floating-point numbers."""
    return _computed(node, x.dtype, x) if are_floats(x) else None


@rule("Clip")
def _clip(node: Node, x: Known, *bounds: Known | None) -> Known | None:
    are_numbers = all(bound is None or bound.rank == 0 for bound in bounds)
    return _floating(node, x) if are_numbers else None


@rule("LogSoftmax", "Softmax")
def _softmax(node: Node, x: Known) -> Known | None:
    return _floating(node, x) if is_axis(argument(node, "axis"), x.rank) else None


@rule("Add", "Div", "Mul", "Pow", "Sub", since=7)
def _arithmetic(node: Node, a: Known, b: Known) -> Known | None:
    """Element by element, in the type of both."""
    return _computed(node, a.dtype, a, b) if are_alike(a, b) and _is_number(a) else None


@rule("Max", "Min", since=8)
def _extreme(node: Node, first: Known, *rest: Known) -> Known | None:
    is_known = are_alike(first, *rest) and _is_number(first)
    return _computed(node, first.dtype, first, *rest) if is_known else None


def _is_number(x: Known) -> bool:
    return x.dtype.is_float or x.dtype is INT64


@rule("GreaterOrEqual", "LessOrEqual", since=12)
@rule("Equal", "Greater", "Less", since=7)
def _comparison(node: Node, a: Known, b: Known) -> Known | None:
    return _computed(node, BOOL, a, b) if are_alike(a, b) else None


@rule("And", "Or", "Xor", since=7)
def _logic(node: Node, a: Known, b: Known) -> Known | None:
    return _computed(node, BOOL, a, b) if a.dtype is b.dtype is BOOL else None


@rule("Not")
def _not(node: Node, x: Known) -> Known | None:
    return _computed(node, BOOL, x) if x.dtype is BOOL else None


@rule("IsInf", "IsNaN")
def _truth(node: Node, x: Known) -> Known | None:
    return _computed(node, BOOL, x) if are_floats(x) else None


@rule("Where", since=9)
def _where(node: Node, condition: Known, a: Known, b: Known) -> Known | None:
    is_known = condition.dtype is BOOL and are_alike(a, b)
    return _computed(node, a.dtype, condition, a, b) if is_known else None


@rule("Cast", since=6)
def _cast(node: Node, x: Known) -> Known | None:
    wanted = dtype(argument(node, "to"))
    if x.dtype.is_widened or wanted.is_widened:
        return None
    if x.array is None:
        return Known(wanted, x.shape)
    is_plain = {x.dtype, wanted} <= {BOOL, INT64}
    return Known(wanted, x.shape, x.array.astype(wanted.numpy)) if is_plain else None


@rule("Range")
def _range(node: Node, *bounds: Known) -> Known | None:
    element = bounds[0].dtype
    if element not in (INT32, INT64) or not are_alike(*bounds) or any(b.rank for b in bounds):
        return None
    if any(bound.array is None for bound in bounds):
        return None
    start, limit, delta = (int(bound.array) for bound in bounds if bound.array is not None)
    if not delta or abs(limit - start) > LARGEST:
        return None
    array = np.arange(start, limit, delta).astype(element.numpy)
    return Known(element, array.shape, array)
