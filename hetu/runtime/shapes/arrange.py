"""Shapes, and what only moves elements."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from hetu.ir import Node
from hetu.ops.kinds import Ints
from hetu.passes.facts import argument
from hetu.runtime.bind import ints
from hetu.runtime.shapes.rules import LARGEST, Known, are_alike, is_axis, rule
from hetu.types import INT64


def _elements(x: Known) -> np.ndarray:
    """A tensor's elements, or an array of its shape that takes no memory."""
    return np.broadcast_to(np.zeros((), x.dtype.numpy), x.shape) if x.array is None else x.array


def _like(x: Known, array: np.ndarray) -> Known:
    """What moving a tensor's elements made of `_elements`."""
    return Known(x.dtype, array.shape, None if x.array is None else array)


def _shaped(x: Known, shape: Sequence[int]) -> Known | None:
    """A tensor with as many elements in another shape."""
    if prod(shape) != prod(x.shape) or min(shape, default=0) < 0:
        return None
    return Known(x.dtype, tuple(shape), None if x.array is None else x.array.reshape(shape))


@rule("Shape")
def _shape(node: Node, x: Known) -> Known:
    found = x.shape[argument(node, "start") : argument(node, "end")]
    return Known(INT64, (len(found),), np.array(found, np.int64))


@rule("Identity")
def _identity(node: Node, x: Known) -> Known:
    return x


@rule("Reshape", since=5)
def _reshape(node: Node, x: Known, shape: Known) -> Known | None:
    sizes = list(_numbers(argument(node, "shape")))
    if not argument(node, "allowzero"):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    if sizes.count(-1) == 1 and 0 not in sizes:
        sizes[sizes.index(-1)] = prod(x.shape) // -prod(sizes)
    return _shaped(x, sizes)


@rule("Flatten")
def _flatten(node: Node, x: Known) -> Known | None:
    axis = argument(node, "axis")
    is_fitting = -x.rank <= axis <= x.rank
    return _shaped(x, (prod(x.shape[:axis]), prod(x.shape[axis:]))) if is_fitting else None


@rule("Transpose")
def _transpose(node: Node, x: Known) -> Known:
    return _like(x, _elements(x).transpose(argument(node, "perm")))


@rule("Squeeze")
def _squeeze(node: Node, x: Known, axes: Known | None = None) -> Known | None:
    named = argument(node, "axes")
    return _like(x, _elements(x).squeeze(None if named is None else _numbers(named)))


@rule("Unsqueeze")
def _unsqueeze(node: Node, x: Known, axes: Known | None = None) -> Known:
    return _like(x, np.expand_dims(_elements(x), _numbers(argument(node, "axes"))))


@rule("Expand", since=8)
def _expand(node: Node, x: Known, shape: Known) -> Known | None:
    found = np.broadcast_shapes(x.shape, _numbers(argument(node, "shape")))
    if x.array is None:
        return Known(x.dtype, found)
    is_small = prod(found) <= LARGEST
    return Known(x.dtype, found, np.broadcast_to(x.array, found).copy()) if is_small else None


@rule("Concat", since=4)
def _concat(node: Node, first: Known, *rest: Known) -> Known | None:
    given, axis = (first, *rest), argument(node, "axis")
    if not are_alike(*given) or not is_axis(axis, first.rank):
        return None
    arrays = [each.array for each in given if each.array is not None]
    if len(arrays) == len(given):
        joined = np.concatenate(arrays, axis)
        return Known(first.dtype, joined.shape, joined)
    axis %= first.rank
    around = {(*each.shape[:axis], *each.shape[axis + 1 :], each.rank) for each in given}
    if len(around) > 1:
        return None
    total = sum(each.shape[axis] for each in given)
    return Known(first.dtype, (*first.shape[:axis], total, *first.shape[axis + 1 :]))


@rule("Gather")
def _gather(node: Node, x: Known, indices: Known) -> Known | None:
    axis = argument(node, "axis")
    if not is_axis(axis, x.rank) or x.dtype.is_widened or indices.dtype is not INT64:
        return None
    if 0 in x.shape:
        return None
    if x.array is None:
        axis %= x.rank
        return Known(x.dtype, (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))
    if indices.array is None:
        return None
    taken = np.asarray(np.take(x.array, indices.array, axis))
    return Known(x.dtype, taken.shape, taken)


@rule("Slice", since=10)
def _slice(node: Node, x: Known, *settings: Known | None) -> Known | None:
    starts, ends = (_numbers(argument(node, name)) for name in ("starts", "ends"))
    axes, steps = argument(node, "axes"), argument(node, "steps")
    named = range(len(starts)) if axes is None else _numbers(axes)
    by = (1,) * len(starts) if steps is None else _numbers(steps)
    if not all(is_axis(axis, x.rank) for axis in named):
        return None
    chosen = [slice(None)] * x.rank
    for axis, *bounds in zip(named, starts, ends, by, strict=True):
        chosen[axis] = slice(*bounds)
    return _like(x, _elements(x)[tuple(chosen)])


def _numbers(given: Any) -> Ints:
    """The numbers of an attribute, or of a constant input."""
    return ints(np.asarray(given))
