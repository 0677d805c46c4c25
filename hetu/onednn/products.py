"""Products with a weight, with what follows in the same step."""

from functools import lru_cache
from math import prod

import torch

from hetu.onednn import binding as c
from hetu.onednn.common import (
    MOST,
    Floats,
    Ints,
    after,
    check_shapes,
    contiguous,
    contiguous_strides,
    present,
    roles,
    rows_order,
    shape_of,
)
from hetu.onednn.packing import Packed, packed
from hetu.onednn.primitive import After, Description, Order, Primitive, any_order, strided


def pack_linear(weight: torch.Tensor, rows: int) -> Packed:
    """A weight (outputs, inputs) for `linear`, best for so many rows."""
    return packed(weight.t(), _order(rows, tuple(weight.shape), torch.get_num_threads()))


def pack_row(weight: torch.Tensor) -> Packed:
    """A weight (outputs, inputs) for `linear` on one row."""
    made = packed(weight, _row_order(tuple(weight.shape), torch.get_num_threads()))
    made.is_for_row = True
    return made


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    other: torch.Tensor | None = None,
    activation: str = "",
    numbers: Floats = (),
) -> torch.Tensor:
    """`activation(x @ weight.T + bias + other, *numbers)`; `other` has the result's shape.

    A weight that is not packed is (outputs, inputs), in either order in memory; so may a matrix `x`
    be.
    """
    is_for_row = False
    if isinstance(weight, Packed):
        form, is_for_row = weight.order, weight.is_for_row
    else:
        weight = weight if weight.t().is_contiguous() else contiguous(weight)
        form = (weight.shape, weight.stride())
    is_turned = x.ndim == 2 and not x.is_contiguous() and x.t().is_contiguous()
    primitive = _linear(
        x.shape, is_turned, form, is_for_row, shape_of(bias), shape_of(other), activation, numbers,
        torch.get_num_threads(),
    )  # fmt: skip
    summands = [contiguous(summand) for summand in (bias, other) if summand is not None]
    return primitive(x if is_turned else contiguous(x), weight, *summands)


@lru_cache(MOST)
def _order(rows: int, shape: Ints, threads: int) -> Order:
    """The order of a weight (outputs, inputs) as (inputs, outputs)."""
    weight = any_order(present(), shape[::-1])
    x = rows_order(rows, shape[1])
    return _describe(x, weight, False, After()).order(c.WEIGHTS, weight.shape)


@lru_cache(MOST)
def _row_order(shape: Ints, threads: int) -> Order:
    weight = any_order(present(), shape)
    return _describe_row(weight, False, After()).order(c.WEIGHTS, shape)


@lru_cache(MOST)
def _linear(
    shape: Ints,
    is_turned: bool,
    weight: Order | tuple[Ints, Ints],
    is_for_row: bool,
    bias: Ints | None,
    other: Ints | None,
    activation: str,
    numbers: Floats,
    threads: int,
) -> Primitive:
    """The primitive for tensors of these shapes."""
    is_packed = isinstance(weight, Order)
    sizes = weight.shape if is_packed else weight[0]
    depth, columns = sizes if is_packed and not is_for_row else sizes[::-1]
    rows, result = prod(shape[:-1]), (*shape[:-1], columns)
    check_shapes(
        ("x", shape[-1:], (depth,)), ("bias", bias, (columns,)), ("summand", other, result)
    )
    following = after(None if other is None else rows_order(rows, columns), activation, numbers)
    if is_for_row or (not is_packed and rows == 1):
        order = weight if is_packed else strided(present(), *weight)
        description = _describe_row(order, bias is not None, following)
    else:
        order = weight if is_packed else strided(present(), *(part[::-1] for part in weight))
        x = strided(present(), shape, (1, rows)) if is_turned else rows_order(rows, depth)
        description = _describe(x, order, bias is not None, following)
    return Primitive(description, roles(bias, other), result, contiguous_strides(result))


def _describe(x: Order, weight: Order, has_bias: bool, following: After) -> Description:
    dnnl, columns = present(), weight.shape[1]
    bias = rows_order(1, columns) if has_bias else None
    orders = x, weight, bias, rows_order(x.shape[0], columns)
    return Description(dnnl, "matmul", (dnnl.engine, *orders), following)


def _describe_row(weight: Order, has_bias: bool, following: After) -> Description:
    """The product of one row with a weight (outputs, inputs)."""
    dnnl, (columns, depth) = present(), weight.shape
    bias = strided(dnnl, (columns,), (1,)) if has_bias else None
    orders = rows_order(1, depth), weight, bias, rows_order(1, columns)
    given = (dnnl.engine, c.INFERENCE, *orders)
    return Description(dnnl, "inner_product_forward", given, following)
