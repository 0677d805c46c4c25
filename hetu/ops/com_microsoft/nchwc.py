"""Convolutions and pools as ONNX Runtime lays them out for one kind of processor.

It keeps 8 or 16 channels of a pixel together, as many as fit into one register. What passes between
these operators concerns nobody else: here it is laid out as everywhere. Only weights are blocked,
in the file, and channels are padded to whole blocks.
"""

import math
from platform import machine

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops.ai_onnx import pool
from hetu.ops.ai_onnx.resize import resize
from hetu.ops.com_microsoft.fused import fused_conv
from hetu.ops.kinds import Floats, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft.nchwc"


def _block_size() -> int:
    """How many channels ONNX Runtime keeps together on this processor."""
    has_short_registers = torch.backends.cpu.get_cpu_capability() != "AVX512"
    return 8 if machine() in ("x86_64", "AMD64") and has_short_registers else 16


@op("ReorderInput", domain=DOMAIN)
def reorder_input(x: Tensor, *, channels_last: bool = False) -> Tensor:
    x = x.movedim(-1, 1) if channels_last else x
    missing = -x.shape[1] % _block_size()
    return F.pad(x, (*(0, 0) * (x.ndim - 2), 0, missing)) if missing else x


@op("ReorderOutput", domain=DOMAIN)
def reorder_output(x: Tensor, *, channels: int = 0, channels_last: bool = False) -> Tensor:
    x = x[:, :channels]
    return x.movedim(1, -1) if channels_last else x


@op("Conv", domain=DOMAIN)
def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    sum: Tensor | None = None,
    *,
    activation: str = "",
    activation_params: Floats = (),
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    return fused_conv(
        x, _unblocked(w), b, sum, activation=activation,
        activation_params=activation_params, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip


def _unblocked(w: Tensor) -> Tensor:
    """Weights (outputs, inputs, ...) stored as (outputs / b, inputs / b, ..., b, b).

    Where an input channel meets few others, in the first layer and in depthwise layers, inputs are
    not blocked: (outputs / b, inputs, ..., b).
    """
    block = _block_size()
    outputs, inputs, *kernel = w.shape
    if outputs % block:
        raise ModelError(f"{outputs} channels are no whole blocks of this processor's {block}")
    blocks, elements = outputs // block, math.prod(kernel)
    if inputs % block:
        stored = w.reshape(blocks, inputs, elements, block)
        return stored.permute(0, 3, 1, 2).reshape(w.shape)
    stored = w.reshape(blocks, inputs // block, elements, block, block)
    return stored.permute(0, 4, 1, 3, 2).reshape(w.shape)


@op("MaxPool", domain=DOMAIN)
def max_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
) -> Tensor:
    y, _ = pool.max_pool(
        x, auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations, kernel_shape=kernel_shape,
        pads=pads, strides=strides, n_outputs=1,
    )  # fmt: skip
    return y


@op("AveragePool", domain=DOMAIN)
def average_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    return pool.average_pool(
        x, auto_pad=auto_pad, ceil_mode=ceil_mode, count_include_pad=count_include_pad,
        dilations=dilations, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip


@op("GlobalMaxPool", domain=DOMAIN)
def global_max_pool(x: Tensor) -> Tensor:
    return pool.global_max_pool(x)


@op("GlobalAveragePool", domain=DOMAIN)
def global_average_pool(x: Tensor) -> Tensor:
    return pool.global_average_pool(x)


@op("Upsample", domain=DOMAIN)
def upsample(
    x: Tensor,
    *,
    coordinate_transformation_mode: str = "asymmetric",
    mode: str = "nearest",
    scales: Ints | None = None,
) -> Tensor:
    return resize(
        x, scales=tuple(map(float, scales or (1,) * x.ndim)), mode=mode, nearest_mode="floor",
        coordinate_transformation_mode=coordinate_transformation_mode,
    )  # fmt: skip
