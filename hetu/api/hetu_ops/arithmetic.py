"""Arithmetic with two values, or with one and a Python number."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hetu import ir
from hetu.api.hetu_ops.parts import as_mask, like
from hetu.api.value import Value, make
from hetu.types import FLOAT32, TensorType


def add_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """`node_A + node_B`, with numpy's broadcasting."""
    return make("Add", node_A, node_B)


def minus_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """`node_A - node_B`, with numpy's broadcasting."""
    return make("Sub", node_A, node_B)


def mul_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """`node_A * node_B`, with numpy's broadcasting."""
    return make("Mul", node_A, node_B)


def div_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """`node_A / node_B`, with numpy's broadcasting."""
    return make("Div", node_A, node_B)


def div_handle_zero_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """`node_A / node_B`, and `node_A` itself where `node_B` is zero."""
    divisor = make("Where", as_mask(node_B), node_B, like(1, node_B))
    return make("Div", node_A, divisor)


def matrix_dot_op(node_A: Value, node_B: Value, axes: int = 0, ctx: Any = None) -> Value:
    """`node_A * node_B`; `axes` has no effect."""
    return make("Mul", node_A, node_B)


def addbyconst_op(node: Value, const_val: float, ctx: Any = None) -> Value:
    """`node + const_val`."""
    return make("Add", node, const_val)


def minus_byconst_op(node: Value, const_val: float, ctx: Any = None) -> Value:
    """`const_val - node`."""
    return make("Sub", const_val, node)


def mul_byconst_op(
    node_A: Value,
    const_val: float,
    const_updater: Callable[[int], float] | None = None,
    ctx: Any = None,
) -> Value:
    """`node_A * const_val`.

    With `const_updater` the factor becomes `const_updater(n)` after the n-th run that trains.
    """
    if const_updater is None:
        return make("Mul", node_A, const_val)
    return make("Mul", node_A, _scheduled(node_A, const_val, const_updater))


def div_const_op(const_val: float, node_A: Value, ctx: Any = None) -> Value:
    """`const_val / node_A`."""
    return make("Div", const_val, node_A)


def pow_op(node: Value, eps: float, ctx: Any = None) -> Value:
    """`node ** eps`."""
    return make("Pow", node, eps)


def power_op(node: Value, p: float, ctx: Any = None) -> Value:
    """`node ** p`."""
    return make("Pow", node, p)


def const_pow_op(node: Value, val: float, ctx: Any = None) -> Value:
    """`val ** node`."""
    return make("Pow", val, node)


def _scheduled(node: Value, first: float, later: Callable[[int], float]) -> Value:
    """A variable that holds `first`, then `later(1)`, `later(2)`, ..."""
    element = node.dtype or FLOAT32
    schedule = ir.Schedule(
        TensorType(element, ()),
        lambda random: np.asarray(first, element.numpy),
        lambda n_runs: np.asarray(later(n_runs), element.numpy),
    )
    return Value("mul_byconst_factor", schedule.type, data=schedule)
