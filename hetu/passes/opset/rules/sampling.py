"""Values at computed positions: GridSample, AffineGrid, and DeformConv as a product over them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from hetu.ir import Value
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import FLOAT64, INT64, DType

_NEW_MODES = {"bilinear": "linear", "bicubic": "cubic"}
_OLD_MODES = {new: old for old, new in _NEW_MODES.items()}
_TAPS = {"nearest": (0,), "linear": (0, 1), "cubic": (-1, 0, 1, 2)}
"""The elements that count at a position, numbered from the one before it (the nearest one)."""

_FAR = -3
"""From there on, outwards, every filter sees nothing but what is outside."""

KEYS = -0.75
"""The parameter of the cubic filter (Keys 1981, equation 4)."""


@up("GridSample", 20)
def grid_sample(rewrite: Rewrite) -> Results:
    mode = rewrite.attribute("mode", "bilinear")
    return rewrite.keep(mode=_NEW_MODES.get(mode, mode))


@down("GridSample", 20)
def grid_sample_of_images(rewrite: Rewrite) -> Results:
    """Only images were sampled; modes were named after their two axes."""
    mode: str = rewrite.attribute("mode", "linear")
    if rewrite.rank(rewrite.given(0)) == 4:
        return rewrite.keep(mode=_OLD_MODES.get(mode, mode))
    return _sampled_by_grid(rewrite, mode)


@down("GridSample", 16)
def grid_sample_gathered(rewrite: Rewrite) -> Results:
    mode: str = rewrite.attribute("mode", "bilinear")
    return _sampled_by_grid(rewrite, _NEW_MODES.get(mode, mode))


def _sampled_by_grid(rewrite: Rewrite, mode: str) -> Value:
    """The grid's coordinates, from -1 to 1 and the last axis first, counted in elements."""
    x, element = rewrite.given(0), _work_type(rewrite)
    axes = rewrite.rank(x) - 2
    is_aligned = bool(rewrite.attribute("align_corners", 0))
    one, two, half = (rewrite.constant(number, element) for number in (1, 2, 0.5))
    grid = rewrite.cast(rewrite.given(1), element)
    grid = rewrite.op("Gather", grid, list(range(axes))[::-1], axis=-1)
    share = rewrite.op("Div", rewrite.op("Add", grid, one), two)
    sizes = rewrite.cast(rewrite.sizes(x, 2), element)
    if is_aligned:
        positions = rewrite.op("Mul", share, rewrite.op("Sub", sizes, one))
    else:
        positions = rewrite.op("Sub", rewrite.op("Mul", share, sizes), half)
    padding: str = rewrite.attribute("padding_mode", "zeros")
    y = _Sampler(rewrite, element, axes, mode, padding, is_aligned).sample(x, positions, axes + 1)
    return rewrite.cast(y, rewrite.dtype(x))


@down("AffineGrid", 20)
def affine_grid(rewrite: Rewrite) -> Results:
    """Sums over the axes of coordinates, from -1 to 1, by the matrix's columns.

    Of the operator's body ONNX Runtime refuses the ranges, whose ends are lists of one.
    """
    theta, size = rewrite.given(0), rewrite.given(1)
    axes = _grid_axes(rewrite)
    element, work = rewrite.dtype(theta), rewrite.work_type(theta)
    theta = rewrite.cast(theta, work)
    columns = [
        rewrite.op("Unsqueeze", rewrite.op("Gather", theta, np.int64(i), axis=2), _between(1, axes))
        for i in range(axes + 1)
    ]
    grid = columns[axes]
    for axis in range(axes):
        count = rewrite.op("Gather", size, np.int64(2 + axis))
        places = _coordinates(rewrite, rewrite.cast(count, INT64), work)
        places = rewrite.op("Unsqueeze", places, _between(1, axes - axis))
        product = rewrite.op("Mul", columns[axes - axis - 1], places)
        grid = rewrite.op("Add", grid, product)
    return rewrite.cast(grid, element)


def _grid_axes(rewrite: Rewrite) -> int:
    matrices, sizes = (rewrite.shape(rewrite.given(index)) for index in (0, 1))
    if matrices and isinstance(matrices[1], int):
        return matrices[1]
    if sizes and isinstance(sizes[0], int):
        return sizes[0] - 2
    rewrite.fail("the number of its axes is not known; state the sizes of its inputs")


def _coordinates(rewrite: Rewrite, count: Value, element: DType) -> Value:
    """Of elements: from -1 to 1, their centres with `align_corners`, else their edges."""
    last = rewrite.op("Sub", count, np.int64(1))
    steps = rewrite.op("Range", np.int64(0), count, np.int64(1))
    places = rewrite.op("Sub", rewrite.op("Mul", steps, np.int64(2)), last)
    is_aligned = rewrite.attribute("align_corners", 0)
    whole = rewrite.op("Max", last, np.int64(1)) if is_aligned else count
    return rewrite.op("Div", rewrite.cast(places, element), rewrite.cast(whole, element))


def _between(start: int, count: int) -> list[int]:
    return list(range(start, start + count))


@down("DeformConv", 19)
def deform_conv(rewrite: Rewrite) -> Results:
    """Products of the weights with what the moved windows see."""
    x, w, bias = rewrite.given(0), rewrite.given(1), rewrite.input(3)
    element, group = _work_type(rewrite), rewrite.attribute("group", 1)
    batch, counts = rewrite.sizes(x, 0, 1), rewrite.sizes(rewrite.given(2), 2)
    outside = rewrite.op("Div", rewrite.sizes(w, 0, 1), [group])
    each = rewrite.op("ReduceProd", rewrite.sizes(w, 1))
    windows = rewrite.op("ReduceProd", counts)
    seen = rewrite.sized(_seen(rewrite, element), batch, [group], each, windows)
    weights = rewrite.sized(rewrite.cast(w, element), [group], outside, each)
    y = rewrite.op("MatMul", weights, seen)
    y = rewrite.sized(y, batch, rewrite.sizes(w, 0, 1), counts)
    if bias is not None:
        trailing = list(range(1, rewrite.rank(x) - 1))
        y = rewrite.op("Add", y, rewrite.op("Unsqueeze", rewrite.cast(bias, element), trailing))
    return rewrite.cast(y, rewrite.dtype(x))


def _seen(rewrite: Rewrite, element: DType) -> Value:
    """What each element of each moved window sees, by the mask: (N * groups, C, elements, ...)."""
    x, offset, mask = rewrite.given(0), rewrite.given(2), rewrite.input(4)
    axes, kernel, groups = (
        rewrite.rank(x) - 2,
        _kernel(rewrite),
        rewrite.attribute("offset_group", 1),
    )
    elements = int(np.prod(kernel))
    batch = rewrite.op("Mul", rewrite.sizes(x, 0, 1), [groups])
    counts = rewrite.sizes(offset, 2)
    moves = rewrite.sized(rewrite.cast(offset, element), batch, [elements, axes], counts)
    moves = rewrite.op("Transpose", moves, perm=[0, 1, *range(3, axes + 3), 2])
    positions = rewrite.op("Add", moves, _window_positions(rewrite, kernel, counts, element))
    channels = rewrite.op("Div", rewrite.sizes(x, 1, 2), [groups])
    x = rewrite.sized(x, batch, channels, rewrite.sizes(x, 2))
    y = _Sampler(rewrite, element, axes).sample(x, positions, outer=axes + 2)
    if mask is None:
        return y
    factors = rewrite.sized(rewrite.cast(mask, element), batch, [1, elements], counts)
    return rewrite.op("Mul", y, factors)


def _window_positions(
    rewrite: Rewrite, kernel: Sequence[int], counts: Value, element: DType
) -> Value:
    """Where the elements of windows lie that are not moved: (elements, ..., axes)."""
    axes = len(kernel)
    strides, dilations = (
        rewrite.attribute(name) or [1] * axes for name in ("strides", "dilations")
    )
    begin = (rewrite.attribute("pads") or [0] * axes)[:axes]
    inside = np.indices(kernel).reshape(axes, -1).T * dilations - begin
    places: Value | np.ndarray = inside.reshape(-1, *[1] * axes, axes)
    for axis in range(axes):
        count = rewrite.op("Gather", counts, np.int64(axis))
        steps = rewrite.op("Range", np.int64(0), count, np.int64(1))
        steps = rewrite.op("Unsqueeze", steps, list(range(1, axes - axis + 1)))
        along = np.eye(axes, dtype=np.int64)[axis] * strides[axis]
        places = rewrite.op("Add", places, rewrite.op("Mul", steps, along))
    assert isinstance(places, Value)
    return rewrite.cast(places, element)


def _kernel(rewrite: Rewrite) -> Sequence[int]:
    """The window's sizes: stated, or those of the weights."""
    shape = rewrite.shape(rewrite.given(1)) or ()
    kernel = rewrite.attribute("kernel_shape") or shape[2:]
    if not kernel or not all(isinstance(size, int) for size in kernel):
        rewrite.fail("the sizes of its window are not known; state kernel_shape")
    return kernel


def _work_type(rewrite: Rewrite) -> DType:
    """What to interpolate in: float64 for integers, so that all of 32 bits are exact."""
    element = rewrite.dtype(rewrite.given(0))
    if element.is_float:
        return rewrite.work_type(rewrite.given(0))
    if element.numpy.kind not in "iu":
        rewrite.fail(f"its data is {element.name}, which has no weighted sums")
    return FLOAT64


@dataclass(frozen=True, slots=True)
class _Sampler:
    """Interpolates over `axes` axes in the type `element`."""

    rewrite: Rewrite
    element: DType
    axes: int
    mode: str = "linear"
    padding: str = "zeros"
    is_aligned: bool = False
    """Whether what lies beyond the ends is mirrored at the outermost centres, not edges."""

    def sample(self, x: Value, positions: Value, outer: int) -> Value:
        """Values (N, C, ...) of (N, C, D1, ...) at positions (N, ..., axes) counted in elements.

        `outer` is the number of axes of the positions before the last.
        """
        rewrite = self.rewrite
        sizes = rewrite.op("Unsqueeze", rewrite.cast(rewrite.sizes(x, 2), self.element), [1])
        positions = self._near(rewrite.op("Unsqueeze", positions, [-1]), sizes)
        start = rewrite.op("Round" if self.mode == "nearest" else "Floor", positions)
        places = rewrite.op("Add", start, self._constant(_TAPS[self.mode]))
        y = self._gathered(x, self._parts(self._bounded(places, sizes), outer))
        if self.padding == "zeros":
            is_inside = rewrite.op("And", *self._inside(places, sizes))
            y = rewrite.op("Where", self._joined("And", is_inside, outer), y, self._constant(0))
        if self.mode != "nearest":
            distance = rewrite.op("Abs", rewrite.op("Sub", places, positions))
            y = rewrite.op("Mul", y, self._joined("Mul", self._weights(distance), outer))
        taps = list(range(outer, outer + self.axes))
        y = rewrite.op("ReduceSum", y, taps, keepdims=0)
        return rewrite.op("Transpose", y, perm=[0, outer, *range(1, outer)])

    def _inside(self, places: Value, sizes: Value) -> tuple[Value, Value]:
        op = self.rewrite.op
        return op("GreaterOrEqual", places, self._constant(0)), op("Less", places, sizes)

    def _near(self, positions: Value, sizes: Value) -> Value:
        """Positions with the same result whose distances to elements can be told exactly."""
        op = self.rewrite.op
        if self.padding == "reflection":
            return self._reflected(positions, sizes)
        limits = self._constant(_FAR), op("Sub", sizes, self._constant(_FAR))
        return op("Min", op("Max", positions, limits[0]), limits[1])

    def _bounded(self, places: Value, sizes: Value) -> Value:
        """Places among the elements, of those outside the ones that padding asks for."""
        op, zero = self.rewrite.op, self._constant(0)
        if self.padding == "reflection":
            places = self._reflected(places, sizes)
        # NaN, which a Max would keep, has no place: its weight makes it the result
        places = op("Where", op("Greater", places, zero), places, zero)
        places = op("Min", places, op("Sub", sizes, self._constant(1)))
        return self.rewrite.cast(places, INT64)

    def _reflected(self, places: Value, sizes: Value) -> Value:
        """Counted from the end where they are mirrored, modulo the way there and back."""
        op, end = self.rewrite.op, self._constant(0 if self.is_aligned else -0.5)
        span = op("Sub", sizes, self._constant(1)) if self.is_aligned else sizes
        period = op("Mul", op("Max", span, self._constant(1)), self._constant(2))
        way = op("Mod", op("Abs", op("Sub", places, end)), period, fmod=1)
        return op("Add", op("Min", way, op("Sub", period, way)), end)

    def _weights(self, distance: Value) -> Value:
        """Of elements at a distance."""
        op, one = self.rewrite.op, self._constant(1)
        if self.mode == "linear":
            return op("Sub", one, distance)
        near = self._polynomial(distance, KEYS + 2, -KEYS - 3, 0, 1)
        far = self._polynomial(distance, KEYS, -5 * KEYS, 8 * KEYS, -4 * KEYS)
        return op("Where", op("LessOrEqual", distance, one), near, far)

    def _polynomial(self, x: Value, *coefficients: float) -> Value:
        op, (first, *others) = self.rewrite.op, map(self._constant, coefficients)
        return reduce(lambda y, c: op("Add", op("Mul", y, x), c), others, first)

    def _parts(self, table: Value, outer: int) -> list[Value]:
        """A table (N, ..., axes, taps) by axis: (N, ..., taps, ..., 1), each along its own taps."""
        op, after = self.rewrite.op, range(outer, outer + self.axes + 1)
        return [
            op("Unsqueeze", op("Gather", table, np.int64(axis), axis=-2),
               [place for place in after if place != outer + axis])
            for axis in range(self.axes)
        ]  # fmt: skip

    def _joined(self, op_type: str, table: Value, outer: int) -> Value:
        """What holds for all axes together."""
        return reduce(lambda a, b: self.rewrite.op(op_type, a, b), self._parts(table, outer))

    def _gathered(self, x: Value, places: Sequence[Value]) -> Value:
        """The elements at places by axis: (N, ..., taps, ..., C)."""
        rewrite, sizes = self.rewrite, self.rewrite.sizes(x, 2)
        flat = rewrite.sized(x, rewrite.sizes(x, 0, 2), rewrite.op("ReduceProd", sizes))
        columns = rewrite.op("Transpose", rewrite.cast(flat, self.element), perm=[0, 2, 1])
        index = places[0]
        for axis, place in enumerate(places[1:], 1):
            size = rewrite.op("Gather", sizes, np.int64(axis))
            index = rewrite.op("Add", rewrite.op("Mul", index, size), place)
        return rewrite.op("GatherND", columns, index, batch_dims=1)

    def _constant(self, content: object) -> Value:
        return self.rewrite.constant(content, self.element)
