"""Windows over images: pools, dilated ones as convolutions, and Col2Im."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from hetu.ir import Value
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import FLOAT32, DType


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
    return _Pool(rewrite).average() if is_average else _Pool(rewrite).norm()


@dataclass(frozen=True)
class _Pool:
    """A pool as convolutions with ones, of each channel by itself."""

    rewrite: Rewrite

    def average(self) -> Value:
        """The sums of windows by the number of their elements that count."""
        rewrite, x = self.rewrite, self.rewrite.given(0)
        work, sums = self._work_type(), self._sums(self._channels(x))
        ones = self._ones()
        if rewrite.attribute("count_include_pad", 0):
            around = [0, 0, *self._pads[: self._rank], 0, 0, *self._pads[self._rank :]]
            counts = self._sums(rewrite.op("Pad", ones, around, self._number(1)), padded=True)
        else:
            counts = self._sums(ones)
        means = self._images(rewrite.op("Div", sums, counts), x)
        return means if work is rewrite.dtype(x) else rewrite.cast(means, rewrite.dtype(x))

    def norm(self) -> Value:
        """The root of the sums of powers."""
        rewrite, x = self.rewrite, self.rewrite.given(0)
        p = rewrite.attribute("p", 2)
        powers = rewrite.op("Pow", rewrite.op("Abs", self._channels(x)), self._number(p))
        norms = rewrite.op("Pow", self._sums(powers), self._number(1 / p))
        norms = self._images(norms, x)
        is_same = self._work_type() is rewrite.dtype(x)
        return norms if is_same else rewrite.cast(norms, rewrite.dtype(x))

    @property
    def _rank(self) -> int:
        return len(self.rewrite.attribute("kernel_shape"))

    def _along(self, name: str) -> Sequence[int]:
        return self.rewrite.attribute(name) or (1,) * self._rank

    @cached_property
    def _pads(self) -> Sequence[int]:
        """Stated, or what `auto_pad` makes them."""
        mode = self.rewrite.attribute("auto_pad", "NOTSET")
        if not mode.startswith("SAME"):
            stated = self.rewrite.attribute("pads") if mode == "NOTSET" else None
            return stated or (0,) * 2 * self._rank
        totals = [max((-(-size // s) - 1) * s + reach - size, 0) for size, s, reach in zip(
            self._sizes(), self._along("strides"), self._reach, strict=True)]  # fmt: skip
        less, more = [total // 2 for total in totals], [-(-total // 2) for total in totals]
        return (*less, *more) if mode == "SAME_UPPER" else (*more, *less)

    def _sizes(self) -> Sequence[int]:
        shape = self.rewrite.shape(self.rewrite.given(0))
        sizes = shape[2:] if shape else ()
        if not sizes or not all(isinstance(size, int) for size in sizes):
            self.rewrite.fail("auto_pad of sizes that are not known; give pads or input_shapes")
        return sizes

    @property
    def _reach(self) -> Sequence[int]:
        """From a window's first element to its last."""
        kernel = self.rewrite.attribute("kernel_shape")
        return [d * (k - 1) + 1 for d, k in zip(self._along("dilations"), kernel, strict=True)]

    @property
    def _excess(self) -> Sequence[int]:
        """Padding at the end that lets a last window of part of the elements in."""
        is_same = self.rewrite.attribute("auto_pad", "NOTSET").startswith("SAME")
        is_ceil = self.rewrite.attribute("ceil_mode", 0) and not is_same
        return [stride - 1 if is_ceil else 0 for stride in self._along("strides")]

    def _work_type(self) -> DType:
        element = self.rewrite.dtype(self.rewrite.given(0))
        return element if element.bits >= FLOAT32.bits else FLOAT32

    def _number(self, number: float) -> Value:
        return self.rewrite.constant(number, self._work_type())

    def _channels(self, x: Value) -> Value:
        """Each channel as an image of its own."""
        rewrite = self.rewrite
        x = rewrite.cast(x, self._work_type()) if rewrite.dtype(x).bits < FLOAT32.bits else x
        shape = rewrite.op("Concat", [-1, 1], rewrite.sizes(x, 2), axis=0)
        return rewrite.op("Reshape", x, shape)

    def _images(self, y: Value, x: Value) -> Value:
        rewrite = self.rewrite
        shape = rewrite.op("Concat", rewrite.sizes(x, 0, 2), rewrite.sizes(y, 2), axis=0)
        return rewrite.op("Reshape", y, shape)

    def _ones(self) -> Value:
        """One image of ones."""
        rewrite, x = self.rewrite, self.rewrite.given(0)
        shape = rewrite.op("Concat", [1, 1], rewrite.sizes(x, 2), axis=0)
        one = np.ones(1, self._work_type().numpy)
        return rewrite.op("ConstantOfShape", shape, value=one)

    def _sums(self, x: Value, padded: bool = False) -> Value:
        """The sums of windows, without those that begin behind the image."""
        rewrite, rank, kernel = self.rewrite, self._rank, self.rewrite.attribute("kernel_shape")
        begin, end = ((0,) * rank,) * 2 if padded else (self._pads[:rank], self._pads[rank:])
        pads = (*begin, *(a + b for a, b in zip(end, self._excess, strict=True)))
        strides, dilations = self._along("strides"), self._along("dilations")
        ones = rewrite.constant(np.ones((1, 1, *kernel)), self._work_type())
        y = rewrite.op("Conv", x, ones, pads=pads, strides=strides, dilations=dilations)
        if not any(self._excess):
            return y
        before = [pad + stride - 1 for pad, stride in zip(self._pads, strides, strict=False)]
        reached = rewrite.op("Add", rewrite.sizes(rewrite.given(0), 2), before)
        ends = rewrite.op("Div", reached, list(strides))
        return rewrite.op("Slice", y, [0] * rank, ends, list(range(2, rank + 2)))


@down("Col2Im", 18)
def col_to_image(rewrite: Rewrite) -> Results:
    """A transposed convolution that puts each element of a block where it belongs."""
    x, element = rewrite.given(0), rewrite.dtype(rewrite.given(0))
    image, block = rewrite.given(1), rewrite.ints(rewrite.given(2), "block_shape")
    rank, elements = len(block), prod(block)
    strides, dilations = (
        list(rewrite.attribute(name) or (1,) * rank) for name in ("strides", "dilations")
    )
    pads = rewrite.attribute("pads") or (0,) * 2 * rank
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, block, strict=True)]
    padded = rewrite.op("Add", image, [a + b for a, b in zip(pads, pads[rank:], strict=False)])
    steps = rewrite.op("Div", rewrite.op("Sub", padded, reach), strides)
    grid = rewrite.op("Concat", [-1, elements], rewrite.op("Add", steps, [1] * rank), axis=0)
    work = element if element.bits >= FLOAT32.bits else FLOAT32
    if not element.is_float:
        rewrite.fail(f"its data is {element}; a transposed convolution takes floats")
    columns = x if work is element else rewrite.cast(x, work)
    places = rewrite.constant(np.eye(elements).reshape(elements, 1, *block), work)
    y = rewrite.op(
        "ConvTranspose", rewrite.op("Reshape", columns, grid), places,
        strides=strides, dilations=dilations,
    )  # fmt: skip
    missing = rewrite.op("Sub", padded, rewrite.sizes(y, 2))
    y = rewrite.op("Pad", y, rewrite.op("Concat", [0] * (rank + 4), missing, axis=0))
    ends = rewrite.op("Add", image, list(pads[:rank]))
    y = rewrite.op("Slice", y, list(pads[:rank]), ends, list(range(2, rank + 2)))
    channels = rewrite.op("Div", rewrite.sizes(x, 1, 2), [elements])
    shape = rewrite.op("Concat", rewrite.sizes(x, 0, 1), channels, image, axis=0)
    y = rewrite.op("Reshape", y, shape)
    return y if work is element else rewrite.cast(y, element)
