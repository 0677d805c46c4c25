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


def pack_linear(weight: torch.Tensor, rows: int) -> torch.Tensor:
    """A weight (outputs, inputs) for `linear`, best for so many rows."""
    if not _has_matmul_in_blocks():
        return _in_rows(weight)
    return packed(weight.t(), _order(rows, tuple(weight.shape), torch.get_num_threads()))


def pack_row(weight: torch.Tensor) -> torch.Tensor:
    """A weight (outputs, inputs) for `linear` on one row."""
    if not _has_matmul_in_blocks():
        return _in_rows(weight)
    return _packed_rows(weight, _row_order(tuple(weight.shape), torch.get_num_threads()))


def _in_rows(weight: torch.Tensor) -> torch.Tensor:
    """A weight as it is, if its rows lie one after the other, else packed so."""
    if weight.is_contiguous():
        return weight
    return _packed_rows(weight, rows_order(*weight.shape))


def _packed_rows(weight: torch.Tensor, order: Order) -> Packed:
    made = packed(weight, order)
    made.is_in_rows = True
    return made


@lru_cache(1)
def _has_matmul_in_blocks() -> bool:
    """Whether the library's `matmul` has weights in an order of its own, and is fast with it.

    Without vectors of 512 bits it copies parts of a weight at each call, and so does its
    `inner_product`, which is then the faster one for any number of rows.
    """
    order = _order(16, (64, 64), 1)
    return order.blocks is None or bool(order.blocks.sizes)


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
    is_in_rows = False
    if isinstance(weight, Packed):
        form, is_in_rows = weight.order, weight.is_in_rows
    else:
        weight = weight if weight.t().is_contiguous() else contiguous(weight)
        form = (weight.shape, weight.stride())
    is_turned = not is_in_rows and _is_turned(x)
    primitive = _linear(
        x.shape, is_turned, form, is_in_rows, shape_of(bias), shape_of(other), activation, numbers,
        torch.get_num_threads(),
    )  # fmt: skip
    summands = [contiguous(summand) for summand in (bias, other) if summand is not None]
    return primitive(x if is_turned else contiguous(x), weight, *summands)


def _is_turned(x: torch.Tensor) -> bool:
    """Whether a tensor is a matrix whose columns lie one after the other."""
    return x.ndim == 2 and not x.is_contiguous() and x.t().is_contiguous()


@lru_cache(MOST)
def _order(rows: int, shape: Ints, threads: int) -> Order:
    """The order of a weight (outputs, inputs) as (inputs, outputs)."""
    weight = any_order(present(), shape[::-1])
    x = rows_order(rows, shape[1])
    return _describe(x, weight, False, After()).order(c.WEIGHTS, weight.shape)


@lru_cache(MOST)
def _row_order(shape: Ints, threads: int) -> Order:
    weight = any_order(present(), shape)
    return _describe_in_rows(1, weight, False, After()).order(c.WEIGHTS, shape)


@lru_cache(MOST)
def _linear(
    shape: Ints,
    is_turned: bool,
    weight: Order | tuple[Ints, Ints],
    is_in_rows: bool,
    bias: Ints | None,
    other: Ints | None,
    activation: str,
    numbers: Floats,
    threads: int,
) -> Primitive:
    """The primitive for tensors of these shapes."""
    is_packed = isinstance(weight, Order)
    sizes = weight.shape if is_packed else weight[0]
    depth, columns = sizes if is_packed and not is_in_rows else sizes[::-1]
    rows, result = prod(shape[:-1]), (*shape[:-1], columns)
    check_shapes(
        ("x", shape[-1:], (depth,)), ("bias", bias, (columns,)), ("summand", other, result)
    )
    following = after(None if other is None else rows_order(rows, columns), activation, numbers)
    if is_in_rows or (not is_packed and _suits_inner_product(rows, is_turned)):
        order = weight if is_packed else strided(present(), *weight)
        description = _describe_in_rows(rows, order, bias is not None, following)
    else:
        order = weight if is_packed else strided(present(), *(part[::-1] for part in weight))
        x = strided(present(), shape, (1, rows)) if is_turned else rows_order(rows, depth)
        description = _describe(x, order, bias is not None, following)
    return Primitive(description, roles(bias, other), result, contiguous_strides(result))


def _suits_inner_product(rows: int, is_turned: bool) -> bool:
    return rows == 1 or not (is_turned or _has_matmul_in_blocks())


def _describe(x: Order, weight: Order, has_bias: bool, following: After) -> Description:
    dnnl, columns = present(), weight.shape[1]
    bias = rows_order(1, columns) if has_bias else None
    orders = x, weight, bias, rows_order(x.shape[0], columns)
    return Description(dnnl, "matmul", (dnnl.engine, *orders), following)


def _describe_in_rows(rows: int, weight: Order, has_bias: bool, following: After) -> Description:
    """The product of rows with a weight (outputs, inputs)."""
    dnnl, (columns, depth) = present(), weight.shape
    bias = strided(dnnl, (columns,), (1,)) if has_bias else None
    orders = rows_order(rows, depth), weight, bias, rows_order(rows, columns)
    given = (dnnl.engine, c.INFERENCE, *orders)
    return Description(dnnl, "inner_product_forward", given, following)
