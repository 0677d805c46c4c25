"""The windows that a node's attributes describe."""

from typing import NamedTuple

from hetu.ir import Node
from hetu.ops import windows
from hetu.ops.kinds import Ints
from hetu.ops.windows import Windows
from hetu.passes.facts import argument


def placed_windows(node: Node, kernel: Ints, shape: Ints | None) -> Windows | None:
    """The windows of a convolution or a pool; None where padding depends on an unknown size."""
    auto_pad = argument(node, "auto_pad")
    if auto_pad in ("SAME_UPPER", "SAME_LOWER") and shape is None:
        return None
    sizes = (0,) * len(kernel) if shape is None else shape[2:]
    strides, dilations, pads = (argument(node, name) for name in ("strides", "dilations", "pads"))
    return windows.place(sizes, kernel, strides, dilations, pads, auto_pad)


class Cropped(NamedTuple):
    """The windows over the full result of a transposed convolution.

    `extra` elements are added to it, and `begin` and `end` elements cut off.
    """

    over: Windows
    extra: Ints
    begin: Ints
    end: Ints


def cropped_windows(node: Node, kernel: Ints, sizes: Ints) -> Cropped:
    """The windows of a transposed convolution of images of these sizes."""
    rank = len(kernel)
    steps = argument(node, "strides"), argument(node, "dilations")
    over = windows.place((0,) * rank, kernel, *steps).fitted(sizes)
    extra = argument(node, "output_padding") or (0,) * rank
    cut = (argument(node, name) for name in ("output_shape", "pads", "auto_pad"))
    return Cropped(over, extra, *windows.crops(over, sizes, extra, *cut))
