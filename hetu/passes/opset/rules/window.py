"""Windows over images: pools, dilated ones as convolutions, and Col2Im."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from hetu.ir import Value
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up


@up("LpPool", 2)
@up("GlobalLpPool", 2)
def whole_norm(rewrite: Rewrite) -> Results:
    """The norm's order became an integer."""
    p = rewrite.attribute("p", 2.0)
    if p != int(p):
        rewrite.fail(f"p is {p}; from opset 2 on it is a whole number")
    return rewrite.keep(p=int(p))


@down("AveragePool", 19)
@down("LpPool", 18)
def pool(rewrite: Rewrite) -> Results:
    """Until then no pool had dilations, and LpPool no ceil_mode."""
    is_average = rewrite.node.op_type == "AveragePool"
    is_dilated = any(dilation != 1 for dilation in rewrite.attribute("dilations", ()))
    if not is_dilated and (is_average or not rewrite.attribute("ceil_mode", 0)):
        gone = ("dilations",) if is_average else ("dilations", "ceil_mode")
        return rewrite.keep(without=gone)
    windows = _windows(rewrite, rewrite.attribute("kernel_shape"))
    return _averages(rewrite, windows) if is_average else _norms(rewrite, windows)


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows over an image, axis by axis; `begin` and `end` are the pads that are stated."""

    kernel: Sequence[int]
    strides: Sequence[int]
    dilations: Sequence[int]
    begin: Sequence[int]
    end: Sequence[int]
    auto_pad: str
    is_ceil: bool
    """Whether the last window may reach beyond the pads."""

    @property
    def reach(self) -> list[int]:
        """From a window's first element to its last."""
        return [d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True)]


def _windows(rewrite: Rewrite, kernel: Sequence[int]) -> _Windows:
    """What the attributes say of windows."""
    rank, auto_pad = len(kernel), rewrite.attribute("auto_pad", "NOTSET")
    strides, dilations = (
        rewrite.attribute(name) or [1] * rank for name in ("strides", "dilations")
    )
    pads = (rewrite.attribute("pads") if auto_pad == "NOTSET" else None) or [0] * 2 * rank
    is_ceil = bool(rewrite.attribute("ceil_mode", 0)) and not auto_pad.startswith("SAME")
    return _Windows(kernel, strides, dilations, pads[:rank], pads[rank:], auto_pad, is_ceil)


def _averages(rewrite: Rewrite, windows: _Windows) -> Value:
    """The sums of windows by the number of their elements that count."""
    sums = _sums(rewrite, _channels(rewrite, rewrite.given(0)), windows)
    return _images(rewrite, rewrite.op("Div", sums, _counts(rewrite, windows)), windows)


def _counts(rewrite: Rewrite, windows: _Windows) -> Value:
    """How many elements of each window count: those of the pads where that is asked for."""
    x = rewrite.given(0)
    work, none = rewrite.work_type(x), [0] * len(windows.kernel)
    is_padding_counted = bool(rewrite.attribute("count_include_pad", 0))
    if is_padding_counted and not windows.is_ceil:
        return rewrite.constant(prod(windows.kernel), work)
    shape = rewrite.op("Concat", [1, 1], rewrite.sizes(x, 2), axis=0)
    ones = rewrite.op("ConstantOfShape", shape, value=np.ones(1, work.numpy))
    if not is_padding_counted:
        return _sums(rewrite, ones, windows)
    around = [0, 0, *windows.begin, 0, 0, *windows.end]
    ones = rewrite.op("Pad", ones, around, rewrite.constant(1, work))
    return _sums(rewrite, ones, replace(windows, begin=none, end=none))


def _norms(rewrite: Rewrite, windows: _Windows) -> Value:
    """The roots of the sums of powers."""
    x, p = rewrite.given(0), rewrite.attribute("p", 2)
    power, root = (rewrite.constant(number, rewrite.work_type(x)) for number in (p, 1 / p))
    powers = rewrite.op("Pow", rewrite.op("Abs", _channels(rewrite, x)), power)
    return _images(rewrite, rewrite.op("Pow", _sums(rewrite, powers, windows), root), windows)


def _channels(rewrite: Rewrite, x: Value) -> Value:
    """Each channel as an image of its own, in the type to sum in."""
    count = rewrite.op("ReduceProd", rewrite.sizes(x, 0, 2))
    return rewrite.sized(rewrite.cast(x, rewrite.work_type(x)), count, [1], rewrite.sizes(x, 2))


def _sums(rewrite: Rewrite, x: Value, windows: _Windows) -> Value:
    """The sums of windows: a convolution with ones."""
    ones = np.ones((1, 1, *windows.kernel), rewrite.work_type(rewrite.given(0)).numpy)
    pads = [*windows.begin, *windows.end]
    if windows.is_ceil:
        beyond = [
            pad + stride - 1 for pad, stride in zip(windows.end, windows.strides, strict=True)
        ]
        pads = [*windows.begin, *beyond]
    is_same = windows.auto_pad.startswith("SAME")
    return rewrite.op(
        "Conv", x, ones, strides=windows.strides, dilations=windows.dilations,
        auto_pad=windows.auto_pad if is_same else None, pads=None if is_same else pads,
    )  # fmt: skip


def _images(rewrite: Rewrite, y: Value, windows: _Windows) -> Value:
    """Channels of one image together, without the windows that begin behind the elements."""
    x, axes = rewrite.given(0), list(range(2, 2 + len(windows.kernel)))
    if windows.is_ceil:
        before = [
            pad + stride - 1 for pad, stride in zip(windows.begin, windows.strides, strict=True)
        ]
        reached = rewrite.op("Add", rewrite.sizes(x, 2), before)
        ends = rewrite.op("Div", reached, list(windows.strides))
        y = rewrite.op("Slice", y, [0] * len(axes), ends, axes)
    y = rewrite.sized(y, rewrite.sizes(x, 0, 2), rewrite.sizes(y, 2))
    return rewrite.cast(y, rewrite.dtype(x))


@down("Col2Im", 18)
def col_to_image(rewrite: Rewrite) -> Results:
    """A transposed convolution that puts each element of a block where it belongs."""
    x, image, element = rewrite.given(0), rewrite.given(1), rewrite.dtype(rewrite.given(0))
    if not element.is_float:
        rewrite.fail(f"its data is {element}; a transposed convolution takes floats")
    windows = _windows(rewrite, rewrite.ints(rewrite.given(2), "block_shape"))
    pads = [begin + end for begin, end in zip(windows.begin, windows.end, strict=True)]
    padded = rewrite.op("Add", image, pads)
    y = _placed(rewrite, x, windows, padded)
    axes = list(range(2, 2 + len(pads)))
    ends = rewrite.op("Add", image, list(windows.begin))
    y = rewrite.op("Slice", y, list(windows.begin), ends, axes)
    channels = rewrite.op("Div", rewrite.sizes(x, 1, 2), [prod(windows.kernel)])
    return rewrite.cast(rewrite.sized(y, rewrite.sizes(x, 0, 1), channels, image), element)


def _placed(rewrite: Rewrite, x: Value, windows: _Windows, padded: Value) -> Value:
    """Columns as padded images of one channel: the sums where blocks overlap."""
    work, elements = rewrite.work_type(x), prod(windows.kernel)
    steps = rewrite.op("Div", rewrite.op("Sub", padded, windows.reach), list(windows.strides))
    counts = rewrite.op("Add", steps, [1] * len(windows.kernel))
    blocks = rewrite.op("Div", rewrite.op("ReduceProd", rewrite.sizes(x, 0, 2)), [elements])
    columns = rewrite.sized(rewrite.cast(x, work), blocks, [elements], counts)
    places = np.eye(elements, dtype=work.numpy).reshape(elements, 1, *windows.kernel)
    y = rewrite.op(
        "ConvTranspose", columns, places, strides=windows.strides, dilations=windows.dilations
    )
    missing = rewrite.op("Sub", padded, rewrite.sizes(y, 2))
    return rewrite.op(
        "Pad", y, rewrite.op("Concat", [0] * (4 + len(windows.kernel)), missing, axis=0)
    )
