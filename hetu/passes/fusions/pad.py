"""Zeros around the input of a convolution: padding of the convolution itself."""

import numpy as np

from hetu.ir import Node
from hetu.passes.build import make_again
from hetu.passes.facts import argument, constant_array, is_onnx, made_by
from hetu.passes.fusion import Outcome, Site, fusion, replaced
from hetu.passes.windows import placed_windows


@fusion("Conv")
def pad(node: Node, site: Site) -> Outcome:
    """See the module."""
    before = made_by(node.inputs[0], "Pad")
    weight = site.facts.shape(node.inputs[1])
    if before is None or not is_onnx(node, "Conv") or weight is None:
        return None
    per_axis = pads_of(before, len(weight))
    if per_axis is None or not _adds_zeros(before):
        return "what is padded with is not known to be zeros"
    if any(map(any, per_axis[:2])) or any(min(pair) < 0 for pair in per_axis):
        return "it pads other axes than those of the image, or crops"
    windows = placed_windows(node, weight[2:], site.facts.shape(node.inputs[0]))
    if windows is None:
        return "the convolution's own padding depends on the input's size"
    if reason := site.outside_use([before], [node]):
        return reason
    added = [count for ends in zip(*per_axis[2:], strict=True) for count in ends]
    own = (*windows.begin, *windows.end)
    pads = tuple(a + b for a, b in zip(own, added, strict=True))
    inputs = (before.inputs[0], *node.inputs[1:])
    fresh = make_again(node, inputs, node.outputs[0], pads=pads, auto_pad=None)
    return replaced(node, fresh, before)


def pads_of(node: Node, rank: int) -> list[tuple[int, int]] | None:
    """What a `Pad` adds before and after each axis; None where that is not known."""
    try:
        pads, axes = argument(node, "pads"), argument(node, "axes") if node.version >= 18 else None
    except LookupError:
        return None
    if pads is None:
        return None
    chosen = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    numbers = [int(count) for count in pads]
    if len(numbers) != 2 * len(chosen):
        return None
    per_axis = [(0, 0)] * rank
    half = len(chosen)
    for axis, before, after in zip(chosen, numbers[:half], numbers[half:], strict=True):
        per_axis[axis] = before, after
    return per_axis


def _adds_zeros(node: Node) -> bool:
    if argument(node, "mode") != "constant":
        return False
    if node.version < 11:
        return argument(node, "value") == 0
    value = (*node.inputs, None, None)[2]
    array = constant_array(value)
    return value is None or (array is not None and not np.any(array))
