"""Products and convolutions of float32 tensors on the CPU, with what follows in the same step.

Weights lie in an order of the library's own: `Packed`. Orders and primitives are made once for each
combination of shapes and number of threads.
"""

from functools import lru_cache
from math import prod

import torch

from hetu.onednn import library as c
from hetu.onednn.library import Dims, Library, library
from hetu.onednn.primitive import After, Description, Order, Primitive, any_order, strided

Ints = tuple[int, ...]
Floats = tuple[float, ...]
Geometry = tuple[Ints, Ints | None, Ints, Ints, int]
"""Padding, what a transposed convolution adds at the ends (None: it is none), strides, dilations
and groups."""

_MOST = 4096
"""So many primitives are kept: a network has some dozens for each shape of its feeds."""

_LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}

_ALGORITHMS: dict[str, tuple[int, float, float]] = {
    "LeakyRelu": (0x20, 0, 0),
    "Relu": (0x20, 0, 0),
    "Tanh": (0x21, 0, 0),
    "Sigmoid": (0x29, 0, 0),
    "GeluTanh": (0x2B, 0, 0),
    "Silu": (0x2C, 1, 0),
    "Clip": (0x2E, 0, 0),
    "Gelu": (0x31, 0, 0),
    "HardSwish": (0x34, 1 / 6, 1 / 2),
}
"""The library's algorithm for an activation, and its numbers where a call gives none."""


class Packed(torch.Tensor):
    """The memory of a weight in an order of the library's own."""

    order: Order
    __torch_function__ = torch._C._disabled_torch_function_impl


def is_available() -> bool:
    """Whether the library is there."""
    return library() is not None


def pack_linear(weight: torch.Tensor, rows: int) -> Packed:
    """A weight (outputs, inputs) for `linear`, best for so many rows."""
    return _packed(weight.t(), _linear_order(rows, tuple(weight.shape), torch.get_num_threads()))


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    other: torch.Tensor | None = None,
    activation: str = "",
    numbers: Floats = (),
) -> torch.Tensor:
    """`activation(x @ weight.T + bias + other, *numbers)`; `other` has the result's shape.

    A weight (outputs, inputs) that is not packed may have any strides.
    """
    form = weight.order if isinstance(weight, Packed) else (weight.shape, weight.stride())
    primitive = _linear(
        x.shape, form, _shape(bias), _shape(other), activation, numbers, torch.get_num_threads()
    )
    summands = [summand.contiguous() for summand in (bias, other) if summand is not None]
    return primitive(x.contiguous(), weight, *summands)


def pack_convolution(weight: torch.Tensor, geometry: Geometry, shape: Ints) -> Packed:
    """A weight for `convolution` with this geometry, best for inputs of a shape."""
    _, extra, *_, groups = geometry
    split = weight.unflatten(0, (groups, -1)) if groups > 1 else weight
    if extra is not None:  # its first axis is that of the inputs
        split = split.transpose(split.ndim - weight.ndim, split.ndim - weight.ndim + 1)
    order = _convolution_order(shape, tuple(split.shape), geometry, torch.get_num_threads())
    return _packed(split, order)


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
    layout = _LAYOUTS[x.ndim]
    primitive = _convolution(
        x.shape, weight.order, _shape(bias), _shape(other), geometry, activation, numbers,
        torch.get_num_threads(),
    )  # fmt: skip
    summands = [] if bias is None else [bias.contiguous()]
    if other is not None:
        summands.append(other.contiguous(memory_format=layout))
    return primitive(x.contiguous(memory_format=layout), weight, *summands)


def _shape(tensor: torch.Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape


def _library() -> Library:
    found = library()
    assert found is not None
    return found


def _packed(weight: torch.Tensor, order: Order) -> Packed:
    dnnl, given = _library(), strided(_library(), weight.shape, weight.stride())
    memory = torch.empty(order.nbytes // 4, dtype=torch.float32)
    description = Description(
        dnnl, "reorder", (given, dnnl.engine, order, dnnl.engine), After()
    )
    Primitive(description, (c.SOURCE,), memory.shape, memory.stride()).run(memory, weight.detach())
    packed = torch.Tensor._make_subclass(Packed, memory)
    packed.order = order
    return packed


@lru_cache(_MOST)
def _linear_order(rows: int, shape: Ints, threads: int) -> Order:
    """The order of a weight (outputs, inputs) as (inputs, outputs)."""
    weight = any_order(_library(), shape[::-1])
    return _describe_linear(rows, weight, False, After()).order(c.WEIGHTS, weight.shape)


@lru_cache(_MOST)
def _linear(
    shape: Ints,
    weight: Order | tuple[Ints, Ints],
    bias: Ints | None,
    other: Ints | None,
    activation: str,
    numbers: Floats,
    threads: int,
) -> Primitive:
    """The primitive for tensors of these shapes."""
    is_packed = isinstance(weight, Order)
    depth, columns = weight.shape if is_packed else weight[0][::-1]
    rows, result = prod(shape[:-1]), (*shape[:-1], columns)
    _check(("x", shape[-1:], (depth,)), ("bias", bias, (columns,)), ("summand", other, result))
    added = None if other is None else _rows(rows, columns)
    after = After(added, _algorithm(activation, numbers))
    if not is_packed and rows == 1:
        description = _describe_row(weight, bias is not None, after)
    else:
        order = weight if is_packed else strided(_library(), *(part[::-1] for part in weight))
        description = _describe_linear(rows, order, bias is not None, after)
    strides = torch.empty(result, device="meta").stride()
    return Primitive(description, _roles(bias, other), result, strides)


def _describe_linear(rows: int, weight: Order, has_bias: bool, after: After) -> Description:
    dnnl, (depth, columns) = _library(), weight.shape
    bias = _rows(1, columns) if has_bias else None
    orders = _rows(rows, depth), weight, bias, _rows(rows, columns)
    return Description(dnnl, "matmul", (dnnl.engine, *orders), after)


def _describe_row(weight: tuple[Ints, Ints], has_bias: bool, after: After) -> Description:
    """The product with one row: bound by memory, it is as fast on a weight as it is."""
    dnnl, (columns, depth) = _library(), weight[0]
    bias = strided(dnnl, (columns,), (1,)) if has_bias else None
    orders = _rows(1, depth), strided(dnnl, *weight), bias, _rows(1, columns)
    return Description(dnnl, "inner_product_forward", (dnnl.engine, c.INFERENCE, *orders), after)


def _rows(rows: int, length: int) -> Order:
    return strided(_library(), (rows, length), (length, 1))


@lru_cache(_MOST)
def _convolution_order(shape: Ints, weight: Ints, geometry: Geometry, threads: int) -> Order:
    """The order of a weight (groups where there are several, outputs, inputs, ...)."""
    order = any_order(_library(), weight)
    return _describe_convolution(shape, order, False, geometry, After()).order(c.WEIGHTS, weight)


@lru_cache(_MOST)
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
    inputs = weight.shape[-len(shape) + 1] * geometry[-1]
    _check(("x", shape[1:2], (inputs,)), ("bias", bias, result[1:2]), ("summand", other, result))
    added = None if other is None else _channels_last(result)
    after = After(added, _algorithm(activation, numbers))
    description = _describe_convolution(shape, weight, bias is not None, geometry, after)
    return Primitive(description, _roles(bias, other), result, _channels_last_strides(result))


def _describe_convolution(
    shape: Ints, weight: Order, has_bias: bool, geometry: Geometry, after: After
) -> Description:
    dnnl, result = _library(), _result(shape, weight, geometry)
    pads, extra, strides, dilations, _ = geometry
    ends = pads if extra is None else tuple(p - e for p, e in zip(pads, extra, strict=True))
    orders = (
        _channels_last(shape), weight, strided(dnnl, result[1:2], (1,)) if has_bias else None,
        _channels_last(result),
    )  # fmt: skip
    windows = strides, tuple(d - 1 for d in dilations), pads, ends
    kind, algorithm = _KINDS[extra is not None]
    given = (dnnl.engine, c.INFERENCE, algorithm, *orders, *(Dims(*sizes) for sizes in windows))
    return Description(dnnl, kind, given, after)


_KINDS = {
    False: ("convolution_forward", c.DIRECT_CONVOLUTION),
    True: ("deconvolution_forward", c.DIRECT_DECONVOLUTION),
}


def _result(shape: Ints, weight: Order, geometry: Geometry) -> Ints:
    """The shape of a convolution's result."""
    pads, extra, strides, dilations, groups = geometry
    outputs, _, *kernel = weight.shape[-len(shape) :]
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    sizes = zip(shape[2:], spans, pads, strides, extra or strides, strict=True)
    if extra is None:
        spatial = [(size + 2 * pad - span) // step + 1 for size, span, pad, step, _ in sizes]
    else:
        spatial = [(size - 1) * step + span - 2 * pad + more for size, span, pad, step, more in sizes]
    return (shape[0], outputs * groups, *spatial)


def _channels_last(shape: Ints) -> Order:
    return strided(_library(), shape, _channels_last_strides(shape))


def _channels_last_strides(shape: Ints) -> Ints:
    """The strides of a tensor whose channels lie side by side."""
    batch, channels, *sizes = shape
    steps = [channels * prod(sizes[i + 1 :]) for i in range(len(sizes))]
    return (channels * prod(sizes), 1, *steps)


def _algorithm(activation: str, numbers: Floats) -> tuple[int, float, float] | None:
    if not activation:
        return None
    algorithm, *usual = _ALGORITHMS[activation]
    first, second = (*numbers, *usual[len(numbers) :])
    return algorithm, first, second


def _roles(bias: Ints | None, other: Ints | None) -> Ints:
    optional = (c.BIAS, bias), (c.ADDED, other)
    return (c.SOURCE, c.WEIGHTS, *(role for role, shape in optional if shape is not None))


def _check(*shapes: tuple[str, Ints | None, Ints]) -> None:
    """Raise `RuntimeError` where a tensor that is there has another shape than it must have."""
    for name, shape, wanted in shapes:
        if shape is not None and tuple(shape) != wanted:
            raise RuntimeError(f"{name} has the shape {tuple(shape)} where {wanted} is needed")
