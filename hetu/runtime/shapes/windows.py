"""Convolutions and pools."""

from hetu.ir import Node
from hetu.ops.kinds import Ints
from hetu.ops.windows import Windows
from hetu.passes.facts import argument
from hetu.passes.windows import cropped_windows, placed_windows
from hetu.runtime.shapes.rules import Known, are_floats, rule


@rule("Conv")
def _convolution(node: Node, x: Known, w: Known, b: Known | None = None) -> Known | None:
    groups = argument(node, "group")
    if not _are_fitting(x, w, b) or x.shape[1] != w.shape[1] * groups or w.shape[0] % groups:
        return None
    placed = _placed(node, x, w.shape[2:])
    return _made(x, w.shape[0], placed.counts()) if _has_bias_of(b, w.shape[0]) else None


@rule("ConvTranspose")
def _transposed(node: Node, x: Known, w: Known, b: Known | None = None) -> Known | None:
    groups, sizes = argument(node, "group"), x.shape[2:]
    if not _are_fitting(x, w, b) or x.shape[1] != w.shape[0] or w.shape[0] % groups:
        return None
    over, extra, begin, end = cropped_windows(node, w.shape[2:], sizes)
    if min(begin) < 0 or min(end) < 0 or not over.takes(extra):
        return None
    ends = zip(over.padded, extra, begin, end, strict=True)
    outputs = w.shape[1] * groups
    found = tuple(size + more - first - last for size, more, first, last in ends)
    return _made(x, outputs, found) if _has_bias_of(b, outputs) else None


@rule("AveragePool", "MaxPool")
def _pool(node: Node, x: Known) -> Known | None:
    if not are_floats(x) or x.rank < 3:
        return None
    placed = _placed(node, x, argument(node, "kernel_shape"))
    around = zip(placed.begin, placed.end, placed.extents, strict=True)
    if any(max(pads) >= extent for *pads, extent in around):  # some windows hold padding alone
        return None
    return _made(x, x.shape[1], placed.counts(bool(argument(node, "ceil_mode"))))


@rule("GlobalAveragePool", "GlobalMaxPool")
def _global_pool(node: Node, x: Known) -> Known | None:
    if not are_floats(x) or x.rank < 3:
        return None
    return _made(x, x.shape[1], (1,) * (x.rank - 2))


def _are_fitting(x: Known, w: Known, b: Known | None) -> bool:
    """Whether images, a weight and a bias are of one type, and of as many axes as they need."""
    return are_floats(*(each for each in (x, w, b) if each is not None)) and x.rank == w.rank >= 3


def _has_bias_of(b: Known | None, channels: int) -> bool:
    return b is None or b.shape == (channels,)


def _placed(node: Node, x: Known, kernel: Ints) -> Windows:
    placed = placed_windows(node, kernel, x.shape)
    if placed is None or min(*placed.begin, *placed.end) < 0:
        raise ValueError("padding that takes elements away")
    return placed


def _made(x: Known, channels: int, sizes: Ints) -> Known | None:
    """Images of as many windows as there are; None where there are none, or no images."""
    shape = (x.shape[0], channels, *sizes)
    return None if min(*x.shape, *shape) < 1 else Known(x.dtype, shape)
