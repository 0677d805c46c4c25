"""Normalizations over the last axis."""

from functools import lru_cache
from math import prod

import numpy as np
import torch

from hetu.onednn import binding as c
from hetu.onednn.common import (
    MOST,
    Ints,
    check_shapes,
    contiguous,
    contiguous_strides,
    present,
    rows_order,
    shape_of,
)
from hetu.onednn.primitive import After, Description, Order, Primitive, strided
from hetu.onednn.recording import constant


def layer_norm(
    x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None, epsilon: float
) -> torch.Tensor:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias`."""
    shape = tuple(x.shape)
    check_shapes(("scale", scale.shape, shape[-1:]), ("bias", shape_of(bias), shape[-1:]))
    primitive = _layer_norm(shape, bias is not None, epsilon, torch.get_num_threads())
    shift = [] if bias is None else [contiguous(bias)]
    return primitive(contiguous(x), contiguous(scale), *shift)


def rms_norm(x: torch.Tensor, scale: torch.Tensor, epsilon: float) -> torch.Tensor:
    """`x / sqrt(mean(x * x) + epsilon) * scale`, as a layer with the mean 0 and that variance."""
    shape = tuple(x.shape)
    check_shapes(("scale", scale.shape, shape[-1:]))
    square, mean, normalized = _rms_norm(shape, epsilon, torch.get_num_threads())
    x = contiguous(x)
    return normalized(x, _zeros(prod(shape[:-1])), mean(square(x, x)), contiguous(scale))


@lru_cache(MOST)
def _layer_norm(shape: Ints, has_bias: bool, epsilon: float, threads: int) -> Primitive:
    flags = c.USE_SCALE | (c.USE_SHIFT if has_bias else 0)
    roles = (c.SOURCE, c.SCALE, c.SHIFT) if has_bias else (c.SOURCE, c.SCALE)
    description = _describe(shape, None, epsilon, flags)
    return Primitive(description, roles, shape, contiguous_strides(shape))


@lru_cache(MOST)
def _rms_norm(shape: Ints, epsilon: float, threads: int) -> tuple[Primitive, Primitive, Primitive]:
    """What computes squares, their means, and from these the result."""
    dnnl, rows, strides = present(), prod(shape[:-1]), contiguous_strides(shape)
    whole, ends = rows_order(rows, shape[-1]), rows_order(rows, 1)
    of_each = strided(dnnl, (rows,), (1,))
    square = Description(dnnl, "binary", (dnnl.engine, c.MULTIPLY, whole, whole, whole), After())
    mean = Description(dnnl, "reduction", (dnnl.engine, c.MEAN_OF, whole, ends, 0, 0), After())
    normalized = _describe(shape, of_each, epsilon, c.USE_STATISTICS | c.USE_SCALE)
    return (
        Primitive(square, (c.SOURCE, c.OTHER), shape, strides),
        Primitive(mean, (c.SOURCE,), (rows,), (1,)),
        Primitive(normalized, (c.SOURCE, c.MEAN, c.VARIANCE, c.SCALE), shape, strides),
    )


def _describe(shape: Ints, statistics: Order | None, epsilon: float, flags: int) -> Description:
    dnnl, order = present(), rows_order(prod(shape[:-1]), shape[-1])
    given = dnnl.engine, c.INFERENCE, order, order, statistics, epsilon, flags
    return Description(dnnl, "layer_normalization_forward", given, After())


@lru_cache(MOST)
def _zeros(count: int) -> torch.Tensor:
    return constant(np.zeros(count, np.float32))
