"""Calls of pooling operators."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example
from tests.versions.conv import geometry, image


def pool(random: Random, dilations: bool, ceil_mode: bool, rank: int) -> dict[str, Any]:
    """A pooling operator's attributes."""
    made = geometry(random, rank)
    if not dilations:
        made.pop("dilations", None)
    if made.get("auto_pad", "VALID") != "VALID" and "strides" in made:
        # Where a stride exceeds the kernel, no padding is needed: ONNX Runtime pads by -1 or fails.
        made["strides"] = list(map(min, made["strides"], made["kernel_shape"]))
    # For VALID with ceil_mode the specification's text and its shape inference differ; ONNX Runtime
    # follows the latter.
    if ceil_mode and random.integer(0, 1):
        made["ceil_mode"] = 1
    return made


@example("AveragePool")
def average_pool(random: Random, version: int) -> Call:
    rank = random.integer(1, 3)
    attributes = pool(random, version >= 19, version >= 10, rank)
    if random.integer(0, 1):
        attributes["count_include_pad"] = 1
    return Call([image(random, rank, 2)], attributes)


@example("MaxPool")
def max_pool(random: Random, version: int) -> Call:
    rank = random.integer(1, 3)
    dtype = random.choice(np.float32, np.float64, *([np.int8, np.uint8] if version >= 12 else []))
    attributes = pool(random, version >= 10, version >= 10, rank)
    x = image(random, rank, 2)
    x = x.astype(dtype) if dtype in (np.float32, np.float64) else (x * 20).astype(dtype)
    outputs = random.integer(1, 2) if version >= 8 else 1
    if outputs == 2:
        attributes["storage_order"] = random.integer(0, 1)
    return Call([x], attributes, outputs=outputs)


@example("LpPool")
def lp_pool(random: Random, version: int) -> Call:
    rank = random.integer(1, 3)
    attributes = pool(random, version >= 18, version >= 18, rank)
    return Call([image(random, rank, 2)], {**attributes, "p": random.integer(1, 3)})


@example("GlobalAveragePool")
@example("GlobalMaxPool")
def global_pool(random: Random, version: int) -> Call:
    return Call([random.floats(rank=random.integer(3, 5))])


@example("GlobalLpPool")
def global_lp_pool(random: Random, version: int) -> Call:
    return Call([random.floats(rank=random.integer(3, 5))], {"p": random.integer(1, 3)})


@example("MaxUnpool")
def max_unpool(random: Random, version: int) -> Call:
    rank = random.integer(1, 3)
    sizes, kernel = random.shape(rank), [random.integer(2, 3) for _ in range(rank)]
    attributes: dict[str, Any] = {"kernel_shape": kernel}
    strides = [1] * rank
    if random.integer(0, 1):
        attributes["strides"] = strides = [random.integer(1, 3) for _ in range(rank)]
    pads = [0] * 2 * rank
    if random.integer(0, 1):
        attributes["pads"] = pads = [random.integer(0, 1) for _ in kernel] + [0] * rank
    output = [2, 3] + [
        (sizes[i] - 1) * strides[i] - pads[i] - pads[rank + i] + kernel[i] for i in range(rank)
    ]
    x = random.floats(2, 3, *sizes)
    inputs = [x]
    if random.integer(0, 1):
        output = [2, 3] + [size + random.integer(0, 2) for size in output[2:]]
        inputs = [x, np.array(output)]
    room = int(np.prod(output))
    places = random.source.choice(room, x.size, replace=False).reshape(x.shape).astype(np.int64)
    return Call([x, places, *inputs[1:]], attributes)
