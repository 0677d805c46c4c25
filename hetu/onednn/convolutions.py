"""Convolutions, transposed or not, with what follows in the same step."""

from functools import lru_cache

import torch

from hetu.onednn import binding as c
from hetu.onednn.binding import dims
from hetu.onednn.common import (
    MOST,
    Floats,
    Ints,
    after,
    channels_last,
    check_shapes,
    contiguous,
    in_channels_last,
    makes_channels_last,
    present,
    roles,
    shape_of,
)
from hetu.onednn.elementwise import activated, per_channel, sum_of
from hetu.onednn.packing import Packed, packed
from hetu.onednn.primitive import After, Description, Order, Primitive, any_order, strided

Geometry = tuple[Ints, Ints | None, Ints, Ints, int]
"""Padding before and after each axis as ONNX lists it, what a transposed convolution adds at the
ends (None: it is none), strides, dilations and groups."""

_KINDS = {
    False: ("convolution_forward", c.DIRECT_CONVOLUTION),
    True: ("deconvolution_forward", c.DIRECT_DECONVOLUTION),
}


def pack_convolution(weight: torch.Tensor, geometry: Geometry, shape: Ints) -> Packed:
    """A weight for `convolution` with this geometry, best for inputs of a shape."""
    _, extra, *_, groups = geometry
    split = weight.unflatten(0, (groups, -1)) if groups > 1 else weight
    if extra is not None:  # its first axis is that of the inputs
        split = split.transpose(split.ndim - weight.ndim, split.ndim - weight.ndim + 1)
    return packed(split, _order(shape, tuple(split.shape), geometry, torch.get_num_threads()))


def convolution(
    x: torch.Tensor,
    weight: Packed,
    bias: torch.Tensor | None,
    other: torch.Tensor | None,
    geometry: Geometry,
    activation: str,
    numbers: Floats,
) -> torch.Tensor:
    """`activation(convolution + bias + other, *numbers)`, its channels side by side.

    `other` has the result's shape.
    """
    if geometry[1] is not None:
        return _transposed(x, weight, bias, other, geometry, activation, numbers)
    primitive = _convolution(
        x.shape, weight.order, shape_of(bias), shape_of(other), geometry, activation, numbers,
        torch.get_num_threads(),
    )  # fmt: skip
    summands = [] if bias is None else [contiguous(bias)]
    if other is not None:
        summands.append(channels_last(other))
    return primitive(channels_last(x), weight, *summands)


def _transposed(
    x: torch.Tensor,
    weight: Packed,
    bias: torch.Tensor | None,
    other: torch.Tensor | None,
    geometry: Geometry,
    activation: str,
    numbers: Floats,
) -> torch.Tensor:
    """What follows comes in steps of its own: the library is up to 40 times as slow in the same."""
    threads = torch.get_num_threads()
    primitive = _convolution(x.shape, weight.order, None, None, geometry, "", (), threads)
    y = primitive(channels_last(x), weight)
    if bias is not None:
        check_shapes(("bias", bias.shape, y.shape[1:2]))
        follows, parameters = ("", ()) if other is not None else (activation, numbers)
        y = _plus(tuple(y.shape), True, follows, parameters, threads)(y, contiguous(bias))
    if other is not None:
        check_shapes(("summand", other.shape, y.shape))
        y = _plus(tuple(y.shape), False, activation, numbers, threads)(y, channels_last(other))
    if bias is None and other is None and activation:
        y = _activated(tuple(y.shape), activation, numbers, threads)(y)
    return y


@lru_cache(MOST)
def _plus(shape: Ints, is_bias: bool, activation: str, numbers: Floats, threads: int) -> Primitive:
    order = in_channels_last(shape)
    other = per_channel(shape) if is_bias else order
    description = sum_of(order, other, activation, numbers)
    return makes_channels_last(description, [c.SOURCE, c.OTHER], shape)


@lru_cache(MOST)
def _activated(shape: Ints, activation: str, numbers: Floats, threads: int) -> Primitive:
    description = activated(in_channels_last(shape), activation, numbers)
    return makes_channels_last(description, [c.SOURCE], shape)


@lru_cache(MOST)
def _order(shape: Ints, weight: Ints, geometry: Geometry, threads: int) -> Order:
    """The order of a weight (groups where there are several, outputs, inputs, ...)."""
    order = any_order(present(), weight)
    return _describe(shape, order, False, geometry, After()).order(c.WEIGHTS, weight)


@lru_cache(MOST)
def _convolution(
    shape: Ints,
    weight: Order,
    bias: Ints | None,
    other: Ints | None,
    geometry: Geometry,
    activation: str,
    numbers: Floats,
    threads: int,
) -> Primitive:
    """The primitive for tensors of these shapes."""
    result = _result(shape, weight, geometry)
    inputs = weight.shape[1 - len(shape)] * geometry[-1]
    check_shapes(
        ("x", shape[1:2], (inputs,)), ("bias", bias, result[1:2]), ("summand", other, result)
    )
    following = after(None if other is None else in_channels_last(result), activation, numbers)
    description = _describe(shape, weight, bias is not None, geometry, following)
    return makes_channels_last(description, roles(bias, other), result)


def _describe(
    shape: Ints, weight: Order, has_bias: bool, geometry: Geometry, following: After
) -> Description:
    dnnl, result = present(), _result(shape, weight, geometry)
    pads, extra, strides, dilations, _ = geometry
    begin, end = pads[: len(strides)], pads[len(strides) :]
    if extra is not None:
        end = tuple(pad - more for pad, more in zip(end, extra, strict=True))
    bias = strided(dnnl, result[1:2], (1,)) if has_bias else None
    orders = in_channels_last(shape), weight, bias, in_channels_last(result)
    windows = strides, tuple(d - 1 for d in dilations), begin, end
    kind, algorithm = _KINDS[extra is not None]
    given = (dnnl.engine, c.INFERENCE, algorithm, *orders, *dims(*windows))
    return Description(dnnl, kind, given, following)


def _result(shape: Ints, weight: Order, geometry: Geometry) -> Ints:
    """The shape of a convolution's result."""
    pads, extra, strides, dilations, groups = geometry
    outputs, _, *kernel = weight.shape[-len(shape) :]
    extents = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    around = [sum(pair) for pair in zip(pads[: len(strides)], pads[len(strides) :], strict=True)]
    axes = zip(shape[2:], extents, around, strides, extra or strides, strict=True)
    if extra is None:
        sizes = [(size + pad - extent) // step + 1 for size, extent, pad, step, _ in axes]
    else:
        sizes = [(size - 1) * step + extent - pad + more for size, extent, pad, step, more in axes]
    return (shape[0], outputs * groups, *sizes)
