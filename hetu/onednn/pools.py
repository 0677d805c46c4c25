"""Maxima and averages of windows."""

from functools import lru_cache

import torch

from hetu.onednn import binding as c
from hetu.onednn.binding import Dims
from hetu.onednn.common import (
    LAYOUTS,
    MOST,
    Ints,
    channels_last_strides,
    contiguous,
    contiguous_strides,
    present,
)
from hetu.onednn.primitive import After, Description, Primitive, strided

_ALGORITHMS = {"maximum": 0x1FF, "average": 0x3FF, "average with padding": 0x2FF}


def pool(x: torch.Tensor, kind: str, kernel: Ints, strides: Ints, pads: Ints) -> torch.Tensor:
    """The pool of the windows, in the order of `x`.

    It is a "maximum", an "average" of what is no padding, or an "average with padding". Padding is
    listed as in ONNX. A maximum passes over elements that are not numbers.
    """
    channels_last = x.is_contiguous(memory_format=LAYOUTS[x.ndim])
    primitive = _pool(x.shape, channels_last, kind, kernel, strides, pads, torch.get_num_threads())
    return primitive(x if channels_last else contiguous(x))


@lru_cache(MOST)
def _pool(
    shape: Ints,
    channels_last: bool,
    kind: str,
    kernel: Ints,
    strides: Ints,
    pads: Ints,
    threads: int,
) -> Primitive:
    """The primitive for tensors of these shapes."""
    begin, end = pads[: len(kernel)], pads[len(kernel) :]
    axes = zip(shape[2:], begin, end, kernel, strides, strict=True)
    sizes = ((size + sum(pair) - extent) // step + 1 for size, *pair, extent, step in axes)
    result = (*shape[:2], *sizes)
    strides_of = channels_last_strides if channels_last else contiguous_strides
    orders = (strided(present(), shape, strides_of(shape)) for shape in (shape, result))
    windows = strides, kernel, (0,) * len(kernel), begin, end
    given = (
        present().engine, c.INFERENCE, _ALGORITHMS[kind], *orders,
        *(Dims(*sizes) for sizes in windows),
    )  # fmt: skip
    description = Description(present(), "pooling_forward", given, After())
    return Primitive(description, (c.SOURCE,), result, strides_of(result))
