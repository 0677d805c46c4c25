"""Convolutions and their adjoints."""

import math

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops import windows as win
from hetu.ops.kinds import Ints, Tensor
from hetu.ops.registry import op
from hetu.ops.sampling import sample
from hetu.ops.windows import Windows

_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@op("Conv")
def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    kernel = _kernel_shape(w, kernel_shape)
    windows = win.place(tuple(x.shape[2:]), kernel, strides, dilations, pads, auto_pad)
    # torch refuses weights without elements
    convolve = _CONVOLUTIONS.get(windows.rank) if w.numel() else None
    if convolve is not None and windows.is_symmetric:
        return convolve(x, w, b, windows.strides, windows.begin, windows.dilations, group)
    x = win.pad(x, windows.begin, windows.end)
    if convolve is not None:
        return convolve(x, w, b, windows.strides, 0, windows.dilations, group)
    counts = windows.counts()
    return _weighted(win.columns(x, windows), w, b, group).unflatten(2, counts)


@op("ConvTranspose")
def conv_transpose(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    kernel = _kernel_shape(w, kernel_shape)
    # The windows lie over the output; their counts are the sizes of the input.
    over = win.place((0,) * len(kernel), kernel, strides, dilations).fitted(tuple(x.shape[2:]))
    extra = output_padding or (0,) * over.rank
    begin, end = win.crops(over, tuple(x.shape[2:]), extra, output_shape, pads, auto_pad)
    transpose = _TRANSPOSED.get(over.rank) if w.numel() else None
    if transpose is not None and begin == end and over.takes(extra):
        return transpose(x, w, b, over.strides, begin, extra, group, over.dilations)
    if transpose is not None:
        full = transpose(x, w, None, over.strides, 0, 0, group, over.dilations)
    else:
        full = win.fold(_spread(x, w, group), over)
    end = tuple(more - crop for more, crop in zip(extra, end, strict=True))
    y = win.pad(full, tuple(-crop for crop in begin), end)
    return y if b is None else y + b.reshape(-1, *(1,) * over.rank)


@op("DeformConv", since=19)
def deform_conv(
    x: Tensor,
    w: Tensor,
    offset: Tensor,
    b: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    offset_group: int = 1,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    kernel = _kernel_shape(w, kernel_shape)
    windows = win.place(tuple(x.shape[2:]), kernel, strides, dilations, pads)
    n, channels = x.shape[:2]
    counts = windows.counts()
    count, elements = math.prod(counts), math.prod(kernel)
    groups = x.reshape(n * offset_group, channels // offset_group, *x.shape[2:])
    moves = offset.reshape(n * offset_group, elements, windows.rank, count)
    positions = _regular_positions(windows, x.dtype, x.device) + moves.transpose(2, 3)
    held = sample(groups, positions.flatten(1, 2)).unflatten(2, (elements, count))
    if mask is not None:
        held = held * mask.reshape(n * offset_group, 1, elements, count)
    return _weighted(held.reshape(n, channels, elements, count), w, b, group).unflatten(2, counts)


def _regular_positions(windows: Windows, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Where the elements of plain windows lie in the input: (elements, windows, axes)."""
    axes = [
        torch.arange(k, device=device)[:, None] * d + torch.arange(c, device=device) * s - b
        for k, d, c, s, b in zip(
            windows.kernel, windows.dilations, windows.counts(), windows.strides, windows.begin,
            strict=True,
        )
    ]  # fmt: skip
    shape = (*windows.kernel, *windows.counts())
    rank = windows.rank
    spread = [
        places.reshape([n if i % rank == axis else 1 for i, n in enumerate(shape)]).expand(shape)
        for axis, places in enumerate(axes)
    ]
    elements, count = math.prod(windows.kernel), math.prod(windows.counts())
    return torch.stack(spread, -1).reshape(elements, count, rank).to(dtype)


@op("Col2Im", since=18)
def col2_im(
    input: Tensor,
    image_shape: Ints,
    block_shape: Ints,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    windows = win.place(image_shape, block_shape, strides, dilations, pads)
    channels = input.shape[1] // math.prod(block_shape)
    if windows.rank == 2 and windows.is_symmetric and input.is_floating_point():
        geometry = (windows.dilations, windows.begin, windows.strides)
        return F.fold(input, image_shape, block_shape, *geometry)
    image = win.fold(input.unflatten(1, (channels, -1)), windows)
    begin, end = (tuple(-n for n in side) for side in (windows.begin, windows.end))
    return win.pad(image, begin, end)


@op("CausalConvWithState", since=27)
def causal_conv_with_state(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    past_state: Tensor | None = None,
    *,
    activation: str = "none",
) -> tuple[Tensor, Tensor]:
    carried = weight.shape[-1] - 1
    if past_state is None:
        extended = F.pad(input, (carried, 0))
    else:
        extended = torch.cat([past_state, input], dim=2)
    output = F.conv1d(extended, weight, bias, groups=weight.shape[0])
    is_silu = activation in ("silu", "swish")
    return F.silu(output) if is_silu else output, extended[..., input.shape[2] :]


def _kernel_shape(w: Tensor, stated: Ints | None) -> Ints:
    kernel = tuple(w.shape[2:])
    if stated and tuple(stated) != kernel:
        raise ModelError(f"kernel_shape is {tuple(stated)}, but the weights have {kernel}")
    return kernel


def _weighted(columns: Tensor, w: Tensor, b: Tensor | None, group: int) -> Tensor:
    """Each window's weighted sums: (N, C, elements, windows) to (N, M, windows)."""
    n, channels, elements, count = columns.shape
    each = channels // group * elements
    grouped = columns.reshape(n, group, each, count)
    y = (w.reshape(group, w.shape[0] // group, each) @ grouped).reshape(n, w.shape[0], count)
    return y if b is None else y + b[:, None]


def _spread(x: Tensor, w: Tensor, group: int) -> Tensor:
    """What each input element adds to its window: (N, M, elements, windows)."""
    n, each, count = x.shape[0], x.shape[1] // group, math.prod(x.shape[2:])
    outputs, elements = w.shape[1], math.prod(w.shape[2:])
    weights = w.reshape(group, each, outputs * elements).transpose(1, 2)
    spread = weights @ x.reshape(n, group, each, count)
    return spread.reshape(n, group * outputs, elements, count)
