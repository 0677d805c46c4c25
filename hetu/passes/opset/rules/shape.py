"""Shapes: Concat, Pad, Reshape, Shape, Split, Tile, Trilu."""

import numpy as np

from hetu.ir import Graph, Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite, constant_data
from hetu.passes.opset.rule import Results, down, up
from hetu.types import BOOL, INT64

END = np.iinfo(np.int64).max


@up("Concat", 4)
def concat(rewrite: Rewrite) -> Results:
    return rewrite.keep(axis=rewrite.attribute("axis", 1))


@down("Reshape", 14)
def reshape(rewrite: Rewrite) -> Results:
    """Without `allowzero` a 0 copies a dimension; -1 comes out as 0 where there are no elements."""
    if not rewrite.attribute("allowzero", 0):
        return plain(rewrite)
    x, shape = rewrite.given(0), rewrite.given(1)
    known, dims = rewrite.shape(x), constant_data(shape)
    if known and all(isinstance(dim, int) and dim > 0 for dim in known):
        return rewrite.keep(without=("allowzero",))
    if dims is not None and np.count_nonzero(dims == 0) > 1:
        zero = np.zeros(1, rewrite.dtype(x).numpy)
        return rewrite.op("ConstantOfShape", shape, value=zero)
    if dims is not None:
        return rewrite.keep([x, np.where(dims == 0, -1, dims)], without=("allowzero",))
    return _reshape_or_empty(rewrite, x, shape)


def _reshape_or_empty(rewrite: Rewrite, x: Value, shape: Value) -> Results:
    """A computed shape: with a 0 in it, which rules out a -1, it is that of no elements."""
    reshaped, empty = rewrite.inner(), rewrite.inner()
    kept = reshaped.keep(without=("allowzero",))
    none = empty.op("ConstantOfShape", shape, value=np.zeros(1, rewrite.dtype(x).numpy))
    return rewrite.op(
        "If",
        rewrite.op("Equal", rewrite.op("ReduceProd", shape, keepdims=0), np.int64(0)),
        then_branch=Graph((), (none,), tuple(empty.nodes), name="empty"),
        else_branch=Graph((), tuple(kept), tuple(reshaped.nodes), name="reshaped"),
    )


@down("Shape", 15)
def shape(rewrite: Rewrite) -> Results:
    start, end = rewrite.attribute("start", 0), rewrite.attribute("end")
    if start == 0 and end is None:
        return rewrite.keep(without=("start",))
    (dims,) = rewrite.keep(without=("start", "end"))
    return rewrite.op("Slice", dims, [start], [END if end is None else end])


@up("Split", 18)
def split(rewrite: Rewrite) -> Results:
    """Equal parts have to be counted."""
    if rewrite.input(1) is not None:
        return plain(rewrite)
    return rewrite.keep(num_outputs=len(rewrite.node.outputs))


@down("Split", 18)
def split_unevenly(rewrite: Rewrite) -> Results:
    """Until opset 18, a last part that is smaller had to be stated."""
    x, axis = rewrite.given(0), rewrite.attribute("axis", 0)
    parts = rewrite.attribute("num_outputs")
    if rewrite.input(1) is not None or parts is None:
        return rewrite.keep(without=("num_outputs",))
    dims = rewrite.shape(x)
    length = dims[axis] if dims else None
    if isinstance(length, int):
        size = -(-length // parts)
        sizes = [size] * (parts - 1) + [length - size * (parts - 1)]
        return rewrite.keep([x, sizes], without=("num_outputs",))
    length = rewrite.op("Gather", rewrite.op("Shape", x), [axis])
    size = rewrite.op("Div", rewrite.op("Add", length, [parts - 1]), [parts])
    last = rewrite.op("Sub", length, rewrite.op("Mul", size, [parts - 1]))
    sizes = rewrite.op("Concat", *[size] * (parts - 1), last, axis=0)
    return rewrite.keep([x, sizes], without=("num_outputs",))


@up("Tile", 6)
def tile(rewrite: Rewrite) -> Results:
    """One axis was repeated; now there is a number for each."""
    x, tiles, axis = (rewrite.given(index) for index in range(3))
    rank, count, position = rewrite.rank(x), constant_data(tiles), constant_data(axis)
    if count is not None and position is not None:
        repeats = [1] * rank
        repeats[int(position.item())] = int(count.item())
        return rewrite.keep([x, repeats])
    tiles, axis = (rewrite.op("Cast", value, to=INT64.code) for value in (tiles, axis))
    is_axis = rewrite.op("Equal", np.arange(rank), axis, version=13)
    return rewrite.keep([x, rewrite.op("Where", is_axis, tiles, [1], version=13)])


@down("Trilu", 14)
def trilu(rewrite: Rewrite) -> Results:
    """Zeros where the column's number is less than the row's plus `k`, or greater."""
    x, k = rewrite.given(0), rewrite.input(1)
    dims, element = rewrite.op("Shape", x), rewrite.dtype(x)
    rows, columns = (
        rewrite.op("Range", np.int64(0), rewrite.op("Gather", dims, np.int64(i)), np.int64(1))
        for i in (-2, -1)
    )
    diagonal = rewrite.op("Sub", columns, rewrite.op("Unsqueeze", rows, [1]))
    compare = "GreaterOrEqual" if rewrite.attribute("upper", 1) else "LessOrEqual"
    kept = rewrite.op(compare, diagonal, np.int64(0) if k is None else k)
    if element is BOOL:
        return rewrite.op("And", x, kept)
    return rewrite.op("Where", kept, x, rewrite.constant(0, element))


@up("Pad", 2)
def pad_renamed(rewrite: Rewrite) -> Results:
    return rewrite.keep(without=("paddings",), pads=rewrite.attribute("paddings"))


@up("Pad", 11)
def pad(rewrite: Rewrite) -> Results:
    x, fill = rewrite.given(0), rewrite.attribute("value", 0.0)
    constant = rewrite.constant(fill, rewrite.dtype(x)) if fill else None
    return rewrite.keep([x, rewrite.attribute("pads"), constant], without=("pads", "value"))


@down("Pad", 18)
def pad_all_axes(rewrite: Rewrite) -> Results:
    """Without `axes`, pads of all axes have to be given."""
    x, pads, fill, axes = (rewrite.input(index) for index in range(4))
    if x is None or pads is None or axes is None:
        return plain(rewrite)
    rank, everywhere = rewrite.rank(x), np.zeros(2 * rewrite.rank(x), np.int64)
    stated, known = constant_data(axes), constant_data(pads)
    if stated is None or known is None:
        begin = rewrite.op("Mod", rewrite.op("Cast", axes, to=INT64.code), [rank])
        places = rewrite.op("Concat", begin, rewrite.op("Add", begin, [rank]), axis=0)
        return rewrite.keep([x, rewrite.op("ScatterElements", everywhere, places, pads), fill])
    everywhere[np.concatenate([stated % rank, stated % rank + rank])] = known
    return rewrite.keep([x, everywhere, fill])


@down("Pad", 19)
def pad_around(rewrite: Rewrite) -> Results:
    """Wrapping around gathers indices modulo the length, axis by axis."""
    if rewrite.attribute("mode", "constant") != "wrap":
        return plain(rewrite)
    x, pads, axes = rewrite.given(0), rewrite.given(1), rewrite.input(3)
    padded = range(rewrite.rank(x)) if axes is None else rewrite.ints(axes, "axes")
    known = constant_data(pads)
    for index, axis in enumerate(padded):
        if known is None or known[index] or known[index + len(padded)]:
            x = _wrapped(rewrite, x, axis, pads, index, index + len(padded))
    return x


def _wrapped(rewrite: Rewrite, x: Value, axis: int, pads: Value, before: int, after: int) -> Value:
    length = rewrite.op("Gather", rewrite.op("Shape", x), np.int64(axis))
    start = rewrite.op("Neg", rewrite.op("Gather", pads, np.int64(before)))
    end = rewrite.op("Add", length, rewrite.op("Gather", pads, np.int64(after)))
    positions = rewrite.op("Range", start, end, np.int64(1))
    return rewrite.op("Gather", x, rewrite.op("Mod", positions, length), axis=axis)
