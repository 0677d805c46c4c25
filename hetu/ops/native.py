"""The door to oneDNN: products and convolutions on weights in the order that it likes best.

They go to its library where that is installed, else to torch's private operators, whose calls cost
several times as much. Where torch lacks them (other versions, other processors, GPUs), packing
leaves weights as they are and the public operators run instead.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from hetu import onednn
from hetu.ops.kinds import Floats, Ints, Tensor
from hetu.ops.windows import pad

Activation = Callable[..., Tensor]

ACTIVATIONS: dict[str, tuple[Activation, tuple[str, str]]] = {
    "": (lambda x: x, ("none", "")),
    "Clip": (F.hardtanh, ("hardtanh", "")),
    "LeakyRelu": (F.leaky_relu, ("leaky_relu", "")),
    "Relu": (torch.relu, ("relu", "")),
    "Sigmoid": (torch.sigmoid, ("sigmoid", "")),
    "Tanh": (torch.tanh, ("tanh", "")),
    "HardSigmoid": (lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), ("none", "")),
    "HardSwish": (F.hardswish, ("hardswish", "")),
    "Silu": (F.silu, ("swish", "")),
    "Gelu": (F.gelu, ("gelu", "none")),
    "GeluTanh": (lambda x: F.gelu(x, approximate="tanh"), ("gelu", "tanh")),
}
"""What each fused activation computes, and what oneDNN's operators call it.

`Clip` takes its bounds, `LeakyRelu` its slope, `HardSigmoid` slope and offset as further arguments;
this one is the library's alone.
"""

_WIDE = frozenset({"Gelu", "GeluTanh"})
"""Activations that oneDNN computes fast in vectors of 512 bits only."""

_NAMES = (
    "_linear_pointwise", "_reorder_linear_weight",
    "_convolution_pointwise", "_reorder_convolution_weight",
    "_convolution_transpose_pointwise", "_reorder_convolution_transpose_weight",
    "_reorder_mkldnn_rnn_layer_weight",
)  # fmt: skip


def _find() -> Any:
    """The namespace of oneDNN's operators; None where it, or one of them, is missing."""
    namespace = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available():
        return None
    return namespace if all(hasattr(namespace, name) for name in _NAMES) else None


_ONEDNN = _find()
_IS_WIDE = torch.backends.cpu.get_cpu_capability().startswith("AVX512")


def momentum_step(
    params: list[Tensor],
    gradients: list[Tensor],
    velocities: list[Tensor],
    momentum: float,
    rate: float,
    decay: float,
) -> None:
    """`v = momentum*v - rate*(g + decay*p); p += v`, in one pass over memory where torch has it.

    torch's fused step is `b = momentum*b + (1 - dampening)*g; p -= lr*b`: with a dampening of
    `1 + rate` and a rate of -1, its buffer is the velocity. It takes plain tensors of one type.
    """
    fused = getattr(torch, "_fused_sgd_", None)
    if fused is not None and _are_alike([*params, *gradients, *velocities]):
        fused(
            params, gradients, velocities, weight_decay=decay, momentum=momentum, lr=-1.0,
            dampening=1 + rate, nesterov=False, maximize=False, is_first_step=False,
        )  # fmt: skip
        return
    for p, gradient, velocity in zip(params, gradients, velocities, strict=True):
        gradient = gradient.add(p, alpha=decay) if decay else gradient
        p.add_(velocity.mul_(momentum).sub_(gradient, alpha=rate))


def _are_alike(tensors: list[Tensor]) -> bool:
    first = tensors[0]
    return first.dtype in (torch.float32, torch.float64) and all(
        t.dtype is first.dtype and t.device == first.device and t.is_contiguous() for t in tensors
    )


def is_packable(weight: Tensor) -> bool:
    """Whether oneDNN takes weights like these."""
    return (
        _ONEDNN is not None
        and torch.backends.mkldnn.enabled
        and weight.device.type == "cpu"
        and weight.dtype is torch.float32
        and weight.numel() > 0
    )


def _dense(bias: Tensor | None) -> Tensor | None:
    """A bias in one piece of memory: oneDNN's operators read it so, whatever its strides say."""
    return None if bias is None else bias.contiguous()


TYPICAL_ROWS = 16
"""What is counted on where the number of rows is not known.

Weights are packed as for so many: their order does not depend on it, and one copy serves all.
"""


def pack_linear(weight: Tensor) -> Tensor:
    """A weight (outputs, inputs) for `linear`."""
    if not is_packable(weight):
        return weight.contiguous()
    if onednn.is_available():
        return onednn.pack_linear(weight, TYPICAL_ROWS)
    return _ONEDNN._reorder_linear_weight(weight, TYPICAL_ROWS)


LARGEST_SHARED_ROW, LARGEST_PACKED_ROW = 1 << 19, 1 << 22
"""Up to so many elements, the product of one row is fastest on a weight packed as for several rows,
or on one packed for single rows; beyond, it waits for memory either way."""


def pack_for_row(weight: Tensor) -> Tensor:
    """A weight (outputs, inputs) for `linear` on one row.

    BLAS leaves the product of one row to one thread, but shares out a batch of products: with
    parts of the weight, (parts, inputs, outputs of a part).
    """
    if onednn.is_available() and is_packable(weight):
        if weight.numel() <= LARGEST_SHARED_ROW:
            return pack_linear(weight)
        return weight if weight.numel() > LARGEST_PACKED_ROW else onednn.pack_row(weight)
    threads = torch.get_num_threads() if weight.device.type == "cpu" else 1
    parts = math.gcd(weight.shape[0], threads)
    return weight.unflatten(0, (parts, -1)).transpose(1, 2)


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: str, numbers: Floats = ()
) -> Tensor:
    """`activation(x @ weight.T + bias, *numbers)`; the weight may be packed or split."""
    function, (name, algorithm) = ACTIVATIONS[activation]
    if _is_for_library(weight):
        return _in_library(partial(onednn.linear, x, weight, bias, None), activation, numbers)
    if _is_slow(activation):
        return function(linear(x, weight, bias, ""), *numbers)
    if not _is_for_onednn(weight):
        return function(_product(x, weight, bias), *numbers)
    return _ONEDNN._linear_pointwise(x, weight, _dense(bias), name, numbers, algorithm)


def _in_library(
    compute: Callable[[str, Floats], Tensor], activation: str, numbers: Floats
) -> Tensor:
    """What the library computes with an activation, which comes after it where it has none such."""
    is_known = not activation or activation in onednn.ACTIVATIONS
    if is_known and not _is_slow(activation):
        return compute(activation, numbers)
    function, _ = ACTIVATIONS[activation]
    return function(compute("", ()), *numbers)


def _is_slow(activation: str) -> bool:
    """Whether an activation is slower in oneDNN than after it."""
    return activation in _WIDE and not _IS_WIDE


def linear_plus(x: Tensor, other: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x @ weight.T + bias + other`; `other` has the result's shape."""
    if _is_for_library(weight):
        return onednn.linear(x, weight, bias, other)
    if not _is_for_onednn(weight):
        return _product(x, weight, bias) + other
    return _ONEDNN._linear_pointwise.binary(x, other, weight, _dense(bias), "add")


def _is_for_library(weight: Tensor) -> bool:
    """Whether oneDNN's own library takes a weight."""
    if isinstance(weight, onednn.Packed):
        return True
    return onednn.is_available() and not weight.is_mkldnn and _is_for_onednn(weight)


def _is_for_onednn(weight: Tensor) -> bool:
    """Whether oneDNN takes a weight; torch.compile is handed public operators alone."""
    if weight.is_mkldnn:
        return True
    return weight.ndim == 2 and is_packable(weight) and not torch.compiler.is_compiling()


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x @ weight.T + bias` by public operators; a split weight takes one row."""
    if weight.ndim == 2:
        return F.linear(x, weight, bias)
    parts, depth, width = weight.shape
    row = x.reshape(1, depth).expand(parts, 1, depth)
    if bias is None:
        y = torch.bmm(row, weight)
    else:
        y = torch.baddbmm(bias.reshape(parts, 1, width), row, weight)
    return y.view(*x.shape[:-1], parts * width)


def has_library() -> bool:
    """Whether oneDNN's own library is there: a call costs no more than of BLAS, and it pools."""
    return onednn.is_available()


def has_wide_products() -> bool:
    """Whether oneDNN computes in vectors of 512 bits, which BLAS need not do on this processor."""
    return _ONEDNN is not None and torch.backends.mkldnn.enabled and _IS_WIDE


def product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """`a @ b.T + bias` of float32 matrices on the CPU."""
    if onednn.is_available():
        return onednn.linear(a, b, bias)
    if _ONEDNN is None:
        return F.linear(a, b, bias)
    return _ONEDNN._linear_pointwise(a, b, _dense(bias), "none", [], "")


def suits_attention(*tensors: Tensor) -> bool:
    """Whether oneDNN's library can compute attention of tensors like these."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return False
    return onednn.is_available() and all(map(is_packable, tensors))


attention = onednn.attention
is_recording, unrecorded = onednn.is_recording, onednn.unrecorded
record_attention = onednn.record_attention
attention_gradient = onednn.attention_gradient
Geometry = onednn.Geometry


def pack_convolution(weight: Tensor, geometry: Geometry, input_shape: Ints | None) -> Tensor:
    """A weight for `convolution` with this geometry, on inputs of about that shape."""
    if not is_packable(weight) or weight.ndim not in (4, 5):
        return weight
    if onednn.is_available():
        shape = input_shape or _usual_shape(weight, geometry)
        return onednn.pack_convolution(weight, geometry, shape)
    pads, extra, strides, dilations, groups = geometry
    before, pads = _split_pads(pads)
    if input_shape is not None:
        half = len(before) // 2
        sizes = zip(input_shape[2:], before[:half], before[half:], strict=True)
        input_shape = (*input_shape[:2], *map(sum, sizes))
    weight = weight.contiguous(memory_format=onednn.LAYOUTS[weight.ndim])
    if extra is None:
        return _ONEDNN._reorder_convolution_weight(
            weight, pads, strides, dilations, groups, input_shape
        )
    return _ONEDNN._reorder_convolution_transpose_weight(
        weight, pads, extra, strides, dilations, groups, input_shape
    )


_USUAL_SIZE = 56


def _usual_shape(weight: Tensor, geometry: Geometry) -> Ints:
    """What is counted on where the shape of images is not known: they have room for a window."""
    _, extra, _, dilations, groups = geometry
    channels = weight.shape[0] if extra is not None else weight.shape[1] * groups
    extents = (d * (k - 1) + 1 for d, k in zip(dilations, weight.shape[2:], strict=True))
    return (1, channels, *(max(_USUAL_SIZE, extent) for extent in extents))


def _split_pads(pads: Ints) -> tuple[Ints, Ints]:
    """What is padded, as ONNX lists it, before torch convolves, and torch's own padding."""
    half = len(pads) // 2
    if pads[:half] == pads[half:]:
        return (0,) * len(pads), pads[:half]
    return pads, (0,) * half


def packed_form(tensor: Any) -> bytes | None:
    """What tells the order in memory of a packed weight; None for what is not packed."""
    if isinstance(tensor, onednn.Packed):
        return tensor.order.form
    form = getattr(_ONEDNN, "_get_mkldnn_serialized_md", None)
    if form is None or not isinstance(tensor, Tensor) or not tensor.is_mkldnn:
        return None
    return form(tensor).numpy().tobytes()


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    activation: str,
    other: Tensor | None = None,
    numbers: Floats = (),
) -> Tensor:
    """`activation(convolution + bias + other, *numbers)`; channels last if the weight is packed.

    `other` has the result's shape.
    """
    function, (name, algorithm) = ACTIVATIONS[activation]
    if isinstance(weight, onednn.Packed):
        compute = partial(onednn.convolution, x, weight, bias, other, geometry)
        return _in_library(compute, activation, numbers)
    pads, extra, strides, dilations, groups = geometry
    before, pads = _split_pads(pads)
    if weight.is_mkldnn:
        x, bias = x.contiguous(memory_format=onednn.LAYOUTS[x.ndim]), _dense(bias)
    if any(before):
        x = pad(x, before[: len(pads)], before[len(pads) :])
    if not weight.is_mkldnn:
        transposition = (False, (0,) * len(pads)) if extra is None else (True, extra)
        y = torch.convolution(x, weight, bias, strides, pads, dilations, *transposition, groups)
        return function(y if other is None else y + other, *numbers)
    around = pads, strides, dilations, groups
    if extra is not None:
        y = _ONEDNN._convolution_transpose_pointwise(
            x, weight, bias, pads, extra, *around[1:], name, numbers, algorithm
        )
        return y if other is None else y + other
    if other is None:
        return _ONEDNN._convolution_pointwise(x, weight, bias, *around, name, numbers, algorithm)
    is_relu = name == "relu"  # the only activation that it knows after a sum
    y = _ONEDNN._convolution_pointwise.binary(
        x, other, weight, bias, *around, "add", 1.0, name if is_relu else None, [], None
    )
    return y if is_relu else function(y, *numbers)


def scale_channels(
    x: Tensor, scale: Tensor, shift: Tensor, activation: str, numbers: Floats = ()
) -> Tensor:
    """`activation(scale * x + shift, *numbers)` with a factor and a summand of each channel."""
    function, _ = ACTIVATIONS[activation]
    if _has_channels_last(x):
        return _in_library(partial(onednn.scale_channels, x, scale, shift), activation, numbers)
    shape = (-1, *(1,) * (x.ndim - 2))
    scale, shift = scale.view(shape), shift.view(shape)
    if x.is_contiguous():  # then vectors hold one channel, and one operand may be a single number
        return function((x * scale).add_(shift), *numbers)
    return function(shift.addcmul(x, scale), *numbers)


def layer_norm(x: Tensor, scale: Tensor, b: Tensor | None, epsilon: float) -> Tensor:
    """`(x - mean) / sqrt(variance + epsilon) * scale + b` over the last axis."""
    if _is_for_library_norms(x):
        return onednn.layer_norm(x, scale, b, epsilon)
    return F.layer_norm(x, x.shape[-1:], scale, b, epsilon)


def rms_norm(x: Tensor, scale: Tensor, epsilon: float) -> Tensor:
    """`x / sqrt(mean(x * x) + epsilon) * scale` over the last axis."""
    if _is_for_library_norms(x):
        return onednn.rms_norm(x, scale, epsilon)
    return F.rms_norm(x, x.shape[-1:], scale, epsilon)


def _is_for_library_norms(x: Tensor) -> bool:
    """Whether the library computes on rows."""
    return onednn.is_available() and is_packable(x) and not torch.compiler.is_compiling()


def _has_channels_last(x: Tensor) -> bool:
    """Whether the library computes on an image or a volume as it lies in memory."""
    layout = onednn.LAYOUTS.get(x.ndim)
    return (
        layout is not None
        and onednn.is_available()
        and not torch.compiler.is_compiling()
        and x.is_cpu
        and x.dtype is torch.float32
        and x.numel() > 0
        and x.is_contiguous(memory_format=layout)
    )


def table_rows(weight: Tensor, numbers: Tensor) -> Tensor:
    """Rows of a weight (outputs, inputs) of `linear`, which may be packed, by their numbers."""
    is_packed = isinstance(weight, onednn.Packed)
    return onednn.table_rows(weight, numbers) if is_packed else weight[numbers]


pool = onednn.pool
Packed = onednn.Packed
packed_together, use, when_packed = onednn.packed_together, onednn.use, onednn.when_packed
holds, unpacked = onednn.holds, onednn.unpacked
channels_last = onednn.channels_last
suits_winograd = onednn.suits_winograd
suits_depthwise = onednn.suits_depthwise
DepthwisePair = onednn.DepthwisePair
BLOCK = onednn.BLOCK


def pack_lstm(w: Tensor, r: Tensor, is_reversed: bool) -> Sequence[Tensor]:
    """The weights of the inputs and of the states for `lstm`, gates in torch's order.

    They are packed as for one step of one sequence: their order does not depend on the numbers.
    """
    if not is_packable(w):
        return w, r
    return _ONEDNN._reorder_mkldnn_rnn_layer_weight(
        w, r, r.shape[1], is_reversed, True, False, (1, 1, w.shape[1])
    )


def lstm(
    x: Tensor, h: Tensor, c: Tensor, weights: Sequence[Tensor], is_reversed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """One direction of a layer: outputs (time, batch, hidden), states (1, batch, hidden).

    The weights are those of `pack_lstm`, and the two biases with gates in the same order.
    """
    if weights[0].is_mkldnn:
        y, h, c, _ = torch.ops.aten.mkldnn_rnn_layer(
            x.contiguous(), *weights, h.contiguous(), c.contiguous(), is_reversed,
            [], _LSTM, h.shape[-1], 1, True, False, False, False,
        )  # fmt: skip
        return y, h, c
    x = x.flip(0) if is_reversed else x
    y, h, c = torch.lstm(x, (h, c), list(weights), True, 1, 0.0, False, False, False)
    return y.flip(0) if is_reversed else y, h, c


_LSTM = 2
"""What torch's recurrent operators call the kind of layer."""
