"""Crops, samples, masked pools and convolutions whose padding is computed."""

import math

import torch

from hetu.errors import ModelError
from hetu.ops import windows as win
from hetu.ops.ai_onnx import conv, resize
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("ConvTransposeWithDynamicPads", domain=DOMAIN)
def conv_transpose_with_dynamic_pads(
    x: Tensor,
    w: Tensor,
    pads: Ints | None = None,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    return conv.conv_transpose(
        x, w, b, auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        output_padding=output_padding, pads=pads, strides=strides,
    )  # fmt: skip


@op("GridSample", domain=DOMAIN)
def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: bool = False,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
) -> Any:
    return resize.grid_sample_16(
        x, grid, align_corners=align_corners, mode=mode, padding_mode=padding_mode
    )


@op("CropAndResize", domain=DOMAIN)
def crop_and_resize(
    x: Tensor,
    rois: Tensor,
    batch_indices: Any,
    crop_size: Ints,
    *,
    extrapolation_value: float = 0.0,
    mode: str = "bilinear",
) -> Tensor:
    first, last = rois[:, :2], rois[:, 2:]
    rows, columns = (
        _positions(first[:, i], last[:, i], crop_size[i], x.shape[2 + i]) for i in range(2)
    )
    images = batch_indices.long()[:, None, None]

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        """The pixels where rows and columns cross, the channels last."""
        rows = rows.long().clamp(0, x.shape[2] - 1)[:, :, None]
        columns = columns.long().clamp(0, x.shape[3] - 1)[:, None]
        return x[images, :, rows, columns]

    if mode == "nearest":
        y = at((rows + 0.5).floor(), (columns + 0.5).floor())
    else:
        down, right = rows.frac()[:, :, None, None], columns.frac()[:, None, :, None]
        top = torch.lerp(at(rows.floor(), columns.floor()), at(rows.floor(), columns.ceil()), right)
        low = torch.lerp(at(rows.ceil(), columns.floor()), at(rows.ceil(), columns.ceil()), right)
        y = torch.lerp(top, low, down)
    is_inside = _is_inside(rows, x.shape[2])[:, :, None] & _is_inside(columns, x.shape[3])[:, None]
    return torch.where(is_inside[..., None], y, extrapolation_value).movedim(-1, 1)


def _positions(first: Tensor, last: Tensor, count: int, size: int) -> Tensor:
    """`count` positions from the first to the last, which are parts of an axis, in elements.

    One position lies in the middle.
    """
    first, last = first[:, None] * (size - 1), last[:, None] * (size - 1)
    steps = torch.arange(count, device=first.device) / max(1, count - 1)
    return torch.lerp(first, last, steps.to(first.dtype)) if count > 1 else (first + last) / 2


def _is_inside(positions: Tensor, size: int) -> Tensor:
    return (positions >= 0) & (positions <= size - 1)


@op("MaxpoolWithMask", domain=DOMAIN)
def maxpool_with_mask(
    x: Tensor,
    m: Any,
    *,
    auto_pad: str = "NOTSET",
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    storage_order: int = 0,
    strides: Ints | None = None,
) -> Tensor:
    """The maximum of what a window's rows hold before the first element that is masked out."""
    if kernel_shape is None:
        raise ModelError("a pool needs a kernel_shape")
    windows = win.place(tuple(x.shape[2:]), kernel_shape, strides, pads=pads, auto_pad=auto_pad)
    windows = windows.fitted(windows.counts())
    is_open = (m != 0).int()
    lowest = torch.finfo(x.dtype).min
    held = win.view(win.pad(x, windows.begin, windows.end, -math.inf), windows)
    is_kept = win.view(win.pad(is_open, windows.begin, windows.end, 1), windows).cumprod(-1)
    return torch.where(is_kept > 0, held, lowest).amax(tuple(range(-windows.rank, 0)))
