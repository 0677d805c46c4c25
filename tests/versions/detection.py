"""Calls of non-maximum suppression and of pooling over regions."""

import numpy as np

from tests.support.examples import Call, Random, example


@example("NonMaxSuppression")
def non_max_suppression(random: Random, version: int) -> Call:
    batches, classes, count = random.integer(1, 3), random.integer(1, 3), random.integer(1, 20)
    boxes = random.floats(batches, count, 4, low=0, high=10)
    scores = random.floats(batches, classes, count, low=0, high=1)
    limit = np.array(random.choice(2, [5], 100))
    overlap = random.choice(None, np.array([0.3], np.float32), np.array(0.7, np.float32))
    least = random.choice(None, np.array([0.4], np.float32))
    if overlap is None and least is None:
        limit = random.choice(limit, None)
    inputs = [boxes, scores, limit, overlap, least]
    return Call(inputs, {"center_point_box": random.integer(0, 1)}, rtol=0, atol=0)


@example("RoiAlign")
def roi_align(random: Random, version: int) -> Call:
    dtype = random.choice(np.float32, np.float64) if version < 22 else np.float32
    x = random.floats(rank=4, dtype=dtype)
    count = random.integer(1, 4)
    # Regions reach out of the image, and are larger than it.
    corners = random.floats(count, 2, low=-3, high=12)
    regions = np.concatenate([corners, corners + random.floats(count, 2, low=0.1, high=9)], 1)
    images = random.integers(count, low=0, high=x.shape[0] - 1)
    attributes = {
        "mode": random.choice("avg", "avg", "max"),
        "output_height": random.integer(1, 4),
        "output_width": random.integer(1, 4),
        "sampling_ratio": random.integer(0, 3),
        "spatial_scale": random.choice(1.0, 0.5),
    }
    if version >= 16:
        modes = ("half_pixel", "output_half_pixel")
        attributes["coordinate_transformation_mode"] = random.choice(*modes)
    return Call([x, regions.astype(dtype), images], attributes)


@example("MaxRoiPool")
def max_roi_pool(random: Random, version: int) -> Call:
    x = random.floats(*random.shape(2), *random.shape(2, high=9))
    count = random.integer(1, 4)
    images = random.integers(count, 1, low=0, high=x.shape[0] - 1)
    corners = random.floats(count, 2, low=-3, high=12)
    ends = corners + random.floats(count, 2, low=-1, high=9)
    regions = np.concatenate([images, corners, ends], 1).astype(np.float32)
    attributes = {
        "pooled_shape": [random.integer(1, 4), random.integer(1, 4)],
        "spatial_scale": random.choice(1.0, 0.5),
    }
    return Call([x, regions], attributes, rtol=0, atol=0)
