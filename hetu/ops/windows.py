"""Windows sliding over the spatial axes of (N, C, D1, ..., Dn): where they lie, what they hold."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops.kinds import Ints


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows over axes of the given `sizes`; each field has one entry per spatial axis.

    `begin` and `end` are the elements added before and after the input.
    """

    sizes: Ints
    kernel: Ints
    strides: Ints
    dilations: Ints
    begin: Ints
    end: Ints

    @property
    def rank(self) -> int:
        """How many spatial axes there are."""
        return len(self.sizes)

    @property
    def extents(self) -> Ints:
        """How far a window reaches, its gaps included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def padded(self) -> Ints:
        """The sizes of the padded input."""
        return tuple(map(sum, zip(self.sizes, self.begin, self.end, strict=True)))

    @property
    def is_symmetric(self) -> bool:
        """Whether each axis has as much padding after as before the input."""
        return self.begin == self.end

    def takes(self, output_padding: Ints) -> bool:
        """Whether torch takes it over such windows: less than the stride or than the dilation."""
        return all(
            extra < max(pair)
            for extra, *pair in zip(output_padding, self.strides, self.dilations, strict=True)
        )

    def as_rows(self) -> "Windows":
        """Windows over one axis as those over images of one row."""
        return Windows(
            (1, *self.sizes), (1, *self.kernel), (1, *self.strides), (1, *self.dilations),
            (0, *self.begin), (0, *self.end),
        )  # fmt: skip

    def counts(self, ceil_mode: bool = False) -> Ints:
        """How many windows there are; with `ceil_mode`, those that reach beyond the padding too."""
        return tuple(
            _count(size + begin + end - extent, stride, size + begin if ceil_mode else None)
            for size, begin, end, extent, stride in zip(
                self.sizes, self.begin, self.end, self.extents, self.strides, strict=True
            )
        )

    def fitted(self, counts: Ints) -> "Windows":
        """The same windows with the padding after the input such that `counts` of them fill it."""
        end = tuple(
            (count - 1) * stride + extent - size - begin
            for count, stride, extent, size, begin in zip(
                counts, self.strides, self.extents, self.sizes, self.begin, strict=True
            )
        )
        return replace(self, end=end)


def _count(room: int, stride: int, limit: int | None) -> int:
    """Windows in `room` positions; rounded up if none may start at `limit` or after it."""
    last = room // stride if limit is None else min(-(-room // stride), (limit - 1) // stride)
    return max(0, last + 1)


def place(
    sizes: Ints,
    kernel: Ints,
    strides: Ints | None = None,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    auto_pad: str = "NOTSET",
) -> Windows:
    """The windows that an operator's attributes describe, with ONNX's defaults."""
    rank = len(sizes)
    if len(kernel) != rank:
        raise ModelError(f"a kernel of shape {kernel} does not fit {rank} spatial axes")
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    begin = end = (0,) * rank
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        axes = zip(sizes, kernel, strides, dilations, strict=True)
        begin, end = split_pads([_same_pads(*axis) for axis in axes], auto_pad == "SAME_UPPER")
    elif pads and auto_pad in ("NOTSET", ""):
        begin, end = pads[:rank], pads[rank:]
    return Windows(sizes, kernel, strides, dilations, begin, end)


def _same_pads(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Padding for which there are ceil(size / stride) windows."""
    return max(0, (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1 - size)


def split_pads(totals: list[int], more_at_end: bool) -> tuple[Ints, Ints]:
    """Total paddings in halves; what is odd goes to the end or to the beginning."""
    small = tuple(total // 2 for total in totals)
    large = tuple(total - total // 2 for total in totals)
    return (small, large) if more_at_end else (large, small)


def crops(
    over: Windows,
    sizes: Ints,
    extra: Ints,
    output_shape: Ints | None,
    pads: Ints | None,
    auto_pad: str,
) -> tuple[Ints, Ints]:
    """What is cut off the full result of a transposed convolution before and after each axis.

    The windows are `over` that result; `sizes` are the input's.
    """
    if output_shape is None and auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
        pads = pads if pads and auto_pad != "VALID" else (0,) * (2 * over.rank)
        return pads[: over.rank], pads[over.rank :]
    wanted = output_shape or tuple(s * n for s, n in zip(over.strides, sizes, strict=True))
    totals = [f + e - w for f, e, w in zip(over.padded, extra, wanted[-over.rank :], strict=True)]
    begin, end = split_pads([max(0, n) for n in totals], auto_pad == "SAME_UPPER")
    if output_shape is not None:  # what it has beyond the full result is added at the end
        end = tuple(total - crop for total, crop in zip(totals, begin, strict=True))
    return begin, end


def pad(x: Tensor, begin: Ints, end: Ints, value: float = 0.0) -> Tensor:
    """`x` with elements added around its last axes; negative numbers take elements away."""
    if not any(begin) and not any(end):
        return x
    amounts = [n for pair in zip(reversed(begin), reversed(end), strict=True) for n in pair]
    return F.pad(x, amounts, value=value)


def view(x: Tensor, windows: Windows) -> Tensor:
    """What the windows over the padded `x` hold: (N, C, counts..., kernel...), without a copy."""
    for axis, (extent, stride, dilation) in enumerate(
        zip(windows.extents, windows.strides, windows.dilations, strict=True), 2
    ):
        x = x.unfold(axis, extent, stride)[..., ::dilation]
    return x


def columns(x: Tensor, windows: Windows) -> Tensor:
    """The windows over the padded `x` as columns: (N, C, elements of a window, windows)."""
    held = view(x, windows)
    rank = windows.rank
    kernel, counts = held.shape[2 + rank :], held.shape[2 : 2 + rank]
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    return held.permute(order).reshape(*x.shape[:2], math.prod(kernel), math.prod(counts))


def fold(columns: Tensor, windows: Windows) -> Tensor:
    """The adjoint of `columns`: elements that share a place in the padded image are added."""
    n, channels = columns.shape[:2]
    places = flat_places(windows, columns.device).reshape(-1)
    flat = columns.reshape(n, channels, places.numel())
    image = flat.new_zeros(n, channels, math.prod(windows.padded))
    return image.index_add(2, places, flat).reshape(n, channels, *windows.padded)


def flat_places(windows: Windows, device: torch.device) -> Tensor:
    """Where each element of each window lies in the flattened padded image: (elements, windows)."""
    places = torch.zeros((), dtype=torch.int64, device=device)
    shape = (*windows.kernel, *windows.counts())
    for axis, size in enumerate(windows.padded):
        inside = torch.arange(windows.kernel[axis], device=device) * windows.dilations[axis]
        starts = torch.arange(windows.counts()[axis], device=device) * windows.strides[axis]
        along = [1] * len(shape)
        along[axis], along[windows.rank + axis] = len(inside), len(starts)
        places = places * size + (inside[:, None] + starts).reshape(along)
    return places.reshape(math.prod(windows.kernel), math.prod(windows.counts()))
