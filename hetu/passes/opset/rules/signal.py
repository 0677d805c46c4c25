"""Fourier transforms, and what they are made of before opset 17; mel weights."""

import math

import numpy as np

from hetu.ir import Value
from hetu.passes.opset.rewrite import END, Operand, Rewrite
from hetu.passes.opset.rule import Results, down
from hetu.types import FLOAT32, FLOAT64, INT64, DType, dtype

ZERO, ONE, TWO = np.int64(0), np.int64(1), np.int64(2)


@down("DFT", 20)
def dft(rewrite: Rewrite) -> Results:
    """The axis was an attribute, 1 by default instead of the last one before the pairs."""
    x, length, axis = rewrite.given(0), rewrite.input(1), rewrite.input(2)
    position = -2 if axis is None else rewrite.ints(axis, "axis")[0]
    return rewrite.keep([x, length], axis=position % rewrite.rank(x))


@down("DFT", 17)
def transform(rewrite: Rewrite) -> Results:
    """Products with matrices of cosines and sines, along the last axis."""
    x = rewrite.given(0)
    rank = rewrite.rank(x)
    axis = rewrite.attribute("axis", 1) % rank
    order = [*(a for a in range(rank - 1) if a != axis), axis]
    parts = [rewrite.op("Transpose", part, perm=order) for part in _parts(rewrite, x)]
    is_inverse, is_half = (rewrite.attribute(name, 0) for name in ("inverse", "onesided"))
    if is_inverse and is_half:
        y = [_real_signal(rewrite, parts, rewrite.input(1))]
    else:
        y = _spectrum(rewrite, parts, rewrite.input(1), bool(is_inverse), bool(is_half))
    back = [order.index(a) for a in range(rank - 1)]
    turned = [rewrite.op("Transpose", part, perm=back) for part in y]
    return _joined(rewrite, turned, rewrite.dtype(x))


@down("STFT", 17)
def short_time_transform(rewrite: Rewrite) -> Results:
    """Transforms of the frames, which overlapping positions gather."""
    x, window = rewrite.given(0), rewrite.input(2)
    parts = _parts(rewrite, x) if rewrite.rank(x) > 2 else [rewrite.cast(x, rewrite.work_type(x))]
    length = rewrite.input(3)
    if length is not None:
        length = _integer(rewrite, length)
    else:
        length = _size(rewrite, x, 1) if window is None else _size(rewrite, window, 0)
    step = _integer(rewrite, rewrite.given(1))
    rest = rewrite.op("Sub", _size(rewrite, x, 1), length)
    count = rewrite.op("Add", rewrite.op("Div", rest, step), ONE)
    starts = rewrite.op("Unsqueeze", rewrite.op("Mul", _range(rewrite, count), step), [1])
    places = rewrite.op("Add", starts, _range(rewrite, length))
    frames = [rewrite.op("Gather", part, places, axis=1) for part in parts]
    if window is not None:
        window = rewrite.cast(window, rewrite.work_type(window))
        frames = [rewrite.op("Mul", frame, window) for frame in frames]
    is_half = bool(rewrite.attribute("onesided", 1))
    return _joined(rewrite, _spectrum(rewrite, frames, None, False, is_half), rewrite.dtype(x))


def _parts(rewrite: Rewrite, x: Value) -> list[Value]:
    """The real part of numbers, and the imaginary part where their last axis has one."""
    dims = rewrite.shape(x)
    count = dims[-1] if dims else None
    if not isinstance(count, int):
        rewrite.fail("whether it is of complex numbers is not known; state its input's last size")
    wide = rewrite.cast(x, rewrite.work_type(x))
    return [rewrite.op("Gather", wide, np.int64(part), axis=-1) for part in range(count)]


def _spectrum(
    rewrite: Rewrite, x: list[Value], length: Value | None, is_inverse: bool, is_half: bool
) -> list[Value]:
    """Real and imaginary part of the sums over j of x[j] exp(-2 pi i j k / length)."""
    n = _size(rewrite, x[0], -1) if length is None else _integer(rewrite, length)
    count = rewrite.op("Add", rewrite.op("Div", n, TWO), ONE) if is_half else n
    x = [_cut(rewrite, part, n) for part in x]
    cosines, sines = _waves(rewrite, _size(rewrite, x[0], -1), count, n, rewrite.dtype(x[0]))
    if not is_inverse:
        sines = rewrite.op("Neg", sines)
    real, imaginary = (rewrite.op("MatMul", x[0], wave) for wave in (cosines, sines))
    if len(x) == 2:
        real = rewrite.op("Sub", real, rewrite.op("MatMul", x[1], sines))
        imaginary = rewrite.op("Add", imaginary, rewrite.op("MatMul", x[1], cosines))
    if not is_inverse:
        return [real, imaginary]
    scale = rewrite.cast(n, rewrite.dtype(x[0]))
    return [rewrite.op("Div", part, scale) for part in (real, imaginary)]


def _real_signal(rewrite: Rewrite, x: list[Value], length: Value | None) -> Value:
    """The signal of half a spectrum: frequencies that are not in it count twice."""
    if length is None:
        n = rewrite.op("Mul", rewrite.op("Sub", _size(rewrite, x[0], -1), ONE), TWO)
    else:
        n = _integer(rewrite, length)
    half = rewrite.op("Add", rewrite.op("Div", n, TWO), ONE)
    x = [_cut(rewrite, part, half) for part in x]
    element, given = rewrite.dtype(x[0]), _size(rewrite, x[0], -1)
    mirrored = rewrite.op("Mod", rewrite.op("Sub", n, _range(rewrite, given)), n)
    is_own = rewrite.op("Equal", mirrored, _range(rewrite, given))
    weights = rewrite.op(
        "Where", is_own, rewrite.constant(1, element), rewrite.constant(2, element)
    )
    weights = rewrite.op("Div", weights, rewrite.cast(n, element))
    x = [rewrite.op("Mul", part, weights) for part in x]
    waves = _waves(rewrite, given, n, n, element)
    products = [rewrite.op("MatMul", part, wave) for part, wave in zip(x, waves, strict=False)]
    return rewrite.op("Sub", *products) if len(products) == 2 else products[0]


def _waves(
    rewrite: Rewrite, rows: Value, columns: Value, length: Value, element: DType
) -> tuple[Value, Value]:
    """Matrices of the cosine and the sine of 2 pi j k / length."""
    j = rewrite.op("Unsqueeze", _range(rewrite, rows), [1])
    turns = rewrite.op("Mod", rewrite.op("Mul", j, _range(rewrite, columns)), length)
    whole = rewrite.cast(length, FLOAT64)
    angles = rewrite.op("Div", rewrite.cast(turns, FLOAT64), whole)
    angles = rewrite.op("Mul", angles, np.float64(2 * math.pi))
    cosines, sines = (rewrite.cast(rewrite.op(f, angles), element) for f in ("Cos", "Sin"))
    return cosines, sines


def _joined(rewrite: Rewrite, parts: list[Value], element: DType) -> Value:
    """Real and imaginary part along a new last axis."""
    columns = [rewrite.op("Unsqueeze", part, [-1]) for part in parts]
    pairs = rewrite.op("Concat", *columns, axis=-1) if len(columns) > 1 else columns[0]
    return rewrite.cast(pairs, element)


def _cut(rewrite: Rewrite, x: Value, count: Value) -> Value:
    """What of the last axis is used; zeros that it lacks add nothing."""
    return rewrite.op("Slice", x, [0], rewrite.op("Reshape", count, [1]), [-1])


def _size(rewrite: Rewrite, x: Value, axis: int) -> Value:
    return rewrite.op("Gather", rewrite.op("Shape", x), np.int64(axis))


def _integer(rewrite: Rewrite, value: Value) -> Value:
    """One number of any shape as a scalar."""
    return rewrite.op("Reshape", rewrite.cast(value, INT64), np.zeros(0, np.int64))


def _range(rewrite: Rewrite, count: Operand) -> Value:
    return rewrite.op("Range", ZERO, count, ONE)


@down("MelWeightMatrix", 17)
def mel_weights(rewrite: Rewrite) -> Results:
    """Triangles between edges that are equally far from each other on the mel scale."""
    bins, length, rate = (_integer(rewrite, rewrite.given(index)) for index in range(3))
    steps = rewrite.op("Add", bins, TWO)
    low, high = (_mel(rewrite, rewrite.given(index)) for index in (3, 4))
    width = rewrite.op("Div", rewrite.op("Sub", high, low), rewrite.cast(steps, FLOAT64))
    mels = rewrite.op("Mul", rewrite.cast(_range(rewrite, steps), FLOAT64), width)
    edges = _edges(rewrite, rewrite.op("Add", mels, low), length, rate)
    left, center, right = (
        rewrite.op("Slice", edges, [start], [end]) for start, end in ((0, -2), (1, -1), (2, END))
    )
    count = rewrite.op("Add", rewrite.op("Div", length, TWO), ONE)
    rows = rewrite.op("Unsqueeze", _range(rewrite, count), [1])
    rising = _slope(rewrite, rewrite.op("Sub", rows, left), rewrite.op("Sub", center, left))
    falling = _slope(rewrite, rewrite.op("Sub", right, rows), rewrite.op("Sub", right, center))
    slopes = rewrite.op("Where", rewrite.op("Less", rows, center), rising, falling)
    slopes = rewrite.op("Max", slopes, np.float64(0))
    is_center = rewrite.op("Equal", rows, center)
    weights = rewrite.op("Where", is_center, np.float64(1), slopes)
    return rewrite.cast(weights, dtype(rewrite.attribute("output_datatype", FLOAT32.code)))


def _mel(rewrite: Rewrite, hertz: Value) -> Value:
    number = rewrite.op("Reshape", rewrite.cast(hertz, FLOAT64), np.zeros(0, np.int64))
    ratio = rewrite.op("Add", rewrite.op("Div", number, np.float64(700)), np.float64(1))
    return rewrite.op("Mul", rewrite.op("Log", ratio), np.float64(2595 / math.log(10)))


def _edges(rewrite: Rewrite, mels: Value, length: Value, rate: Value) -> Value:
    """The number of the spectrum's bin at each point of the mel scale."""
    power = rewrite.op("Exp", rewrite.op("Mul", mels, np.float64(math.log(10) / 2595)))
    hertz = rewrite.op("Mul", rewrite.op("Sub", power, np.float64(1)), np.float64(700))
    scaled = rewrite.op("Mul", rewrite.cast(rewrite.op("Add", length, ONE), FLOAT64), hertz)
    return rewrite.cast(rewrite.op("Div", scaled, rewrite.cast(rate, FLOAT64)), INT64)


def _slope(rewrite: Rewrite, part: Value, whole: Value) -> Value:
    width = rewrite.op("Max", whole, ONE)
    return rewrite.op("Div", rewrite.cast(part, FLOAT64), rewrite.cast(width, FLOAT64))
