"""Calls of resampling operators."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example


@example("Upsample")
def upsample(random: Random, version: int) -> Call:
    mode = random.choice("nearest", "linear")
    x = random.floats(*random.shape(4))
    scales = [1.0, 1.0, random.choice(1.0, 1.5, 2.0, 3.0), random.choice(1.3, 2.0, 2.5)]
    if version < 9:
        return Call([x], {"mode": mode, "scales": scales})
    return Call([x, np.array(scales, np.float32)], {"mode": mode}, constants=[1])


@example("Resize")
def resize(random: Random, version: int) -> Call:
    if version == 10:
        x, scales = random.floats(1, 2, 5, 7), [1.0, 1.0, *scale_pair(random)]
        mode = random.choice("nearest", "linear")
        return Call([x, np.array(scales, np.float32)], {"mode": mode}, constants=[1])
    mode = random.choice("nearest", "linear", "cubic")
    attributes: dict[str, Any] = {"mode": mode, **details(random, version, mode)}
    transform = attributes["coordinate_transformation_mode"]
    dtype = np.float32 if mode != "nearest" else random.choice(np.float32, np.int32, np.uint8)
    x = random.floats(1, 2, random.integer(4, 7), random.integer(4, 7), low=0, high=99)
    x = (x / 30 if dtype == np.float32 else x).astype(dtype)
    axes = None
    if version >= 18 and random.integer(0, 1):
        attributes["axes"] = axes = random.choice([2, 3], [3, 2], [-2, -1])
    order = axes or [2, 3]
    every = [0, 1, 2, 3] if axes is None else order
    roi = np.array([*(0.1 for _ in every), *(0.8 for _ in every)], np.float32)
    if axes is None:
        roi[[0, 1]], roi[[4, 5]] = 0, 1
    if transform != "tf_crop_and_resize":
        roi = None if version >= 13 else np.zeros(0, np.float32)
    if axes is None or axes[0] < 0:  # ONNX Runtime ignores sizes with a policy and negative axes
        attributes.pop("keep_aspect_ratio_policy", None)
    if random.integer(0, 1):
        # Crops to the same length are left out: ONNX Runtime then copies the whole axis.
        given = {2: x.shape[2] + random.choice(-2, -1, 3), 3: x.shape[3] * 2 - 1}
        sizes = np.array([given.get(axis % 4, x.shape[axis]) for axis in every])
        return Call([x, roi, *no_scales(version), sizes], attributes, constants=[1, 2, 3])
    attributes.pop("keep_aspect_ratio_policy", None)
    given = dict(zip((2, 3), scale_pair(random), strict=True))
    scales = np.array([given.get(axis % 4, 1) for axis in every], np.float32)
    return Call([x, roi, scales], attributes, constants=[1, 2])


def no_scales(version: int) -> list[np.ndarray | None]:
    """How a node of a version leaves the scales out."""
    return [None] if version >= 13 else [np.zeros(0, np.float32)]


def scale_pair(random: Random) -> list[float]:
    """Scales of two axes."""
    return [random.choice(0.5, 0.7, 2.0, 3.0, 1.3), random.choice(0.6, 1.5, 2.0, 2.7)]


def details(random: Random, version: int, mode: str) -> dict[str, Any]:
    """A Resize's attributes, those of the mode and of the version."""
    transforms = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    transforms += ["tf_crop_and_resize"]
    if version >= 19:
        transforms.append("half_pixel_symmetric")
    if version < 13 and mode == "nearest":
        transforms.append("tf_half_pixel_for_nn")
    made: dict[str, Any] = {"coordinate_transformation_mode": random.choice(*transforms)}
    if made["coordinate_transformation_mode"] == "tf_crop_and_resize":
        made["extrapolation_value"] = 7.0
    if mode == "nearest":
        rounding = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        made["nearest_mode"] = random.choice(*rounding)
    elif version >= 18 and random.integer(0, 1):
        made["antialias"] = 1
    if mode == "cubic":
        made["cubic_coeff_a"] = random.choice(-0.75, -0.5)
        made["exclude_outside"] = random.integer(0, 1)
    if version >= 18 and random.integer(0, 2) == 0:
        made["keep_aspect_ratio_policy"] = random.choice("stretch", "not_larger", "not_smaller")
    return made


@example("GridSample")
def grid_sample(random: Random, version: int) -> Call:
    rank = 2 if version < 20 else random.integer(2, 3)
    mode = random.choice("nearest", "linear", *(["cubic"] if rank == 2 else []))
    grid = random.floats(2, *random.shape(rank), rank, low=-1.6, high=1.6)
    attributes = {
        "mode": mode if version >= 20 or mode == "nearest" else f"bi{mode}",
        "padding_mode": random.choice("zeros", "border", "reflection"),
        "align_corners": random.integer(0, 1),
    }
    return Call([random.floats(2, 3, *random.shape(rank)), grid], attributes, atol=1e-4)


@example("AffineGrid")
def affine_grid(random: Random, version: int) -> Call:
    rank = random.integer(2, 3)
    dtype = random.choice(np.float32, np.float64)
    theta = random.floats(2, rank, rank + 1, dtype=dtype)
    align_corners = random.integer(0, 1)
    # With align_corners a single element is both corners; every implementation places it elsewhere.
    lowest = 2 if align_corners else 1
    size = np.array([2, 3, *(random.integer(lowest, 5) for _ in range(rank))])
    return Call([theta, size], {"align_corners": align_corners}, constants=[1])
