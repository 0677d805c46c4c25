"""Images: Resize, Upsample, RoiAlign, SpaceToDepth."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hetu.ir import Value
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Operand, Rewrite, constant_data
from hetu.passes.opset.rule import Results, down, up
from hetu.types import FLOAT32, INT64

HALF = np.float32(0.5)
ONE = np.float32(1.0)


@up("Upsample", 7)
def upsample(rewrite: Rewrite) -> Results:
    scales = [1.0, 1.0, *(rewrite.attribute(f"{side}_scale") for side in ("height", "width"))]
    mode = {"bilinear": "linear"}.get(rewrite.attribute("mode", "nearest"), "nearest")
    return rewrite.keep(without=("height_scale", "width_scale"), scales=scales, mode=mode)


@up("Upsample", 10)
def upsample_renamed(rewrite: Rewrite) -> Results:
    return rewrite.keep(op_type="Resize")


@up("Resize", 11)
def resize(rewrite: Rewrite) -> Results:
    """Nearest neighbours were rounded up along axes that shrink and down along those that grow."""
    x, scales = rewrite.given(0), rewrite.given(1)
    if rewrite.attribute("mode", "nearest") != "nearest":
        return _asymmetric(rewrite, x, scales)
    known = constant_data(scales)
    if known is None or (np.any(known < 1) and np.any(known > 1)):
        smaller = rewrite.op("Min", scales, ONE, version=13)
        x = _asymmetric(rewrite, x, smaller, nearest_mode="ceil")
        scales = rewrite.op("Max", scales, ONE, version=13)
    is_shrinking = known is not None and bool(np.all(known <= 1))
    return _asymmetric(rewrite, x, scales, nearest_mode="ceil" if is_shrinking else "floor")


def _asymmetric(rewrite: Rewrite, x: Value, scales: Value, **attributes: Any) -> Value:
    (y,) = rewrite.keep(
        [x, np.zeros(0, np.float32), scales],
        coordinate_transformation_mode="asymmetric",
        **attributes,
    )
    assert y is not None
    return y


@up("Resize", 13)
def resize_without_empty(rewrite: Rewrite) -> Results:
    """What is not given may be left out instead of empty."""
    inputs = [
        None if (known := constant_data(value)) is not None and not known.size else value
        for value in rewrite.node.inputs
    ]
    return rewrite.keep(inputs)


@down("Resize", 19)
def resize_symmetric(rewrite: Rewrite) -> Results:
    """Where the sizes are whole, half-pixel coordinates are symmetric anyway."""
    if rewrite.attribute("coordinate_transformation_mode") != "half_pixel_symmetric":
        return plain(rewrite)
    if rewrite.input(3) is None:
        rewrite.fail("half_pixel_symmetric exists from opset 19 on; give sizes instead of scales")
    return rewrite.keep(coordinate_transformation_mode="half_pixel")


@down("Resize", 18)
def resize_all_axes(rewrite: Rewrite) -> Results:
    """Regions, scales and sizes are of all axes; sizes are taken as they are."""
    if rewrite.attribute("antialias", 0):
        rewrite.fail("antialias exists from opset 18 on")
    x, (roi, scales, sizes) = rewrite.given(0), (rewrite.input(index) for index in (1, 2, 3))
    axes = rewrite.attribute("axes")
    policy = rewrite.attribute("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch" and sizes is not None:
        sizes = _proportional(rewrite, x, sizes, axes, policy)
    if axes is not None:
        rank = rewrite.rank(x)
        places = [axis % rank for axis in axes]
        both = [*places, *(place + rank for place in places)]
        ends = np.repeat(np.array([0, 1], np.float32), rank)
        roi = roi and _spread(rewrite, ends, both, roi)
        scales = scales and _spread(rewrite, np.ones(rank, np.float32), places, scales)
        sizes = sizes and _spread(rewrite, rewrite.op("Shape", x), places, sizes)
    gone = ("antialias", "axes", "keep_aspect_ratio_policy")
    return rewrite.keep([x, roi, scales, sizes], without=gone)


def _spread(rewrite: Rewrite, everywhere: Operand, places: Sequence[int], values: Value) -> Operand:
    """What is given for some axes, between what the others get."""
    known = constant_data(values)
    if known is not None and not known.size:
        return values
    if known is None or not isinstance(everywhere, np.ndarray):
        return rewrite.op("ScatterElements", everywhere, places, values)
    everywhere[list(places)] = known
    return everywhere


def _proportional(
    rewrite: Rewrite, x: Value, sizes: Value, axes: Sequence[int] | None, policy: str
) -> Value:
    """Sizes with one ratio for all axes: the smallest or the largest of those asked for."""
    dims = rewrite.op("Shape", x)
    if axes is not None:
        dims = rewrite.op("Gather", dims, list(axes))
    lengths = rewrite.op("Cast", dims, to=FLOAT32.code)
    ratios = rewrite.op("Div", rewrite.op("Cast", sizes, to=FLOAT32.code), lengths)
    extreme = "ReduceMin" if policy == "not_larger" else "ReduceMax"
    scaled = rewrite.op("Mul", rewrite.op(extreme, ratios), lengths)
    rounded = rewrite.op("Floor", rewrite.op("Add", scaled, HALF))
    return rewrite.op("Cast", rounded, to=INT64.code)


@up("RoiAlign", 16)
def roi_align(rewrite: Rewrite) -> Results:
    return rewrite.keep(coordinate_transformation_mode="output_half_pixel")


@down("RoiAlign", 16)
def roi_align_unshifted(rewrite: Rewrite) -> Results:
    mode = rewrite.attribute("coordinate_transformation_mode", "half_pixel")
    if mode != "output_half_pixel":
        rewrite.fail(f"coordinate_transformation_mode {mode!r} exists from opset 16 on")
    return rewrite.keep(without=("coordinate_transformation_mode",))


@down("SpaceToDepth", 28)
def space_to_depth(rewrite: Rewrite) -> Results:
    """Until opset 28 the new parts of the depth came first; as columns and rows they follow it."""
    (y,) = rewrite.keep(without=("mode",))
    if y is None or rewrite.attribute("mode", "DCR") == "DCR":
        return [y]
    blocks, depth = [rewrite.attribute("blocksize") ** 2], rewrite.sizes(rewrite.given(0), 1, 2)
    parts = rewrite.sized(y, rewrite.sizes(y, 0, 1), blocks, depth, rewrite.sizes(y, 2))
    turned = rewrite.op("Transpose", parts, perm=[0, 2, 1, 3, 4])
    return rewrite.op("Reshape", turned, rewrite.op("Shape", y), allowzero=1)
