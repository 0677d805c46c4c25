"""Calls of convolutions."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example


def geometry(random: Random, rank: int, auto_pads: bool = True) -> dict[str, Any]:
    """Kernel shape, strides, dilations and padding for inputs of at least 9 elements an axis."""
    kernel = [random.integer(1, 3) for _ in range(rank)]
    made: dict[str, Any] = {"kernel_shape": kernel}
    if random.integer(0, 1):
        made["strides"] = [random.integer(1, 3) for _ in range(rank)]
    padding = random.choice("none", "pads", "symmetric", *(["auto"] if auto_pads else []))
    # ONNX Runtime refuses dilations where it computes the padding itself.
    if padding != "auto" and random.integer(0, 1):
        made["dilations"] = [random.integer(1, 2) for _ in range(rank)]
    match padding:
        case "auto":
            made["auto_pad"] = random.choice("SAME_UPPER", "SAME_LOWER", "VALID")
        case "pads":
            made["pads"] = [random.integer(0, k - 1) for k in kernel * 2]
        case "symmetric":
            made["pads"] = [random.integer(0, k - 1) for k in kernel] * 2
    return made


def image(random: Random, rank: int, channels: int, dtype: Any = np.float32) -> np.ndarray:
    """A batch of images of `rank` axes."""
    sizes = [random.integer(9, 12 if rank < 3 else 9) for _ in range(rank)]
    return random.floats(random.integer(1, 2), channels, *sizes, dtype=dtype)


@example("Conv")
def conv(random: Random, version: int) -> Call:
    rank, group = random.integer(1, 4), random.integer(1, 3)
    attributes: dict[str, Any] = {**geometry(random, rank), "group": group}
    kernel = attributes["kernel_shape"]
    if random.integer(0, 1):
        del attributes["kernel_shape"]
    inside, outside = random.integer(1, 2), group * random.integer(1, 2)
    inputs = [
        image(random, rank, group * inside)[:, :, *[slice(9 if rank < 4 else 5)] * rank],
        random.floats(outside, inside, *kernel),
        random.floats(outside),
    ]
    if random.integer(0, 7) == 0:  # nothing to add up
        inputs[0], inputs[1] = inputs[0][:, :0], inputs[1][:, :0]
    return Call(inputs[: random.integer(2, 3)], attributes, atol=1e-4)


@example("ConvTranspose")
def conv_transpose(random: Random, version: int) -> Call:
    rank, group = random.integer(1, 4), random.integer(1, 3)
    attributes: dict[str, Any] = {**geometry(random, rank), "group": group}
    kernel, sizes = attributes["kernel_shape"], [random.integer(3, 5) for _ in range(rank)]
    strides = attributes.get("strides", [1] * rank)
    if random.integer(0, 1):
        attributes["output_padding"] = [random.integer(0, stride - 1) for stride in strides]
    if "pads" not in attributes and random.integer(0, 1):
        dilations = attributes.get("dilations", [1] * rank)
        attributes["output_shape"] = [
            (size - 1) * stride + dilation * (k - 1) + 1 - random.integer(0, 2)
            for size, stride, dilation, k in zip(sizes, strides, dilations, kernel, strict=True)
        ]
    outside = random.integer(1, 2)
    inputs = [
        random.floats(2, group * 2, *sizes),
        random.floats(group * 2, outside, *kernel),
        random.floats(group * outside),
    ]
    return Call(inputs[: random.integer(2, 3)], attributes, atol=1e-4)


@example("DeformConv")
def deform_conv(random: Random, version: int) -> Call:
    # ONNX Runtime knows two spatial axes only.
    group, offset_group = random.choice(1, 2), random.choice(1, 2)
    made = geometry(random, 2, auto_pads=False)
    kernel = made["kernel_shape"]
    x = image(random, 2, 4)
    pads, strides = made.get("pads", [0] * 4), made.get("strides", [1, 1])
    dilations = made.get("dilations", [1, 1])
    counts = [
        (x.shape[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i]
        + 1
        for i in range(2)
    ]
    elements = offset_group * kernel[0] * kernel[1]
    bias = random.floats(4) if random.integer(0, 1) else None
    mask = random.floats(len(x), elements, *counts) if random.integer(0, 1) else None
    inputs = [
        x,
        random.floats(4, 4 // group, *kernel),
        random.floats(len(x), 2 * elements, *counts),
        bias,
        mask,
    ]
    made |= {"group": group, "offset_group": offset_group}
    return Call(inputs, made, atol=1e-4)


@example("Col2Im")
def col2_im(random: Random, version: int) -> Call:
    rank = random.integer(2, 3)
    made = geometry(random, rank, auto_pads=False)
    kernel = made.pop("kernel_shape")
    if rank > 2:  # ONNX Runtime misplaces dilated blocks over more than two axes
        made.pop("dilations", None)
    sizes = [random.integer(5, 8) for _ in range(rank)]
    pads = made.get("pads", [0] * 2 * rank)
    strides, dilations = made.get("strides", [1] * rank), made.get("dilations", [1] * rank)
    counts = [
        (sizes[i] + pads[i] + pads[rank + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(rank)
    ]
    columns = random.floats(2, 3 * int(np.prod(kernel)), int(np.prod(counts)))
    return Call([columns, np.array(sizes), np.array(kernel)], made)


@example("CausalConvWithState")
def causal_conv_with_state(random: Random, version: int) -> Call:
    n, channels, length, k = random.shape(4)
    inputs = [
        random.floats(n, channels, length),
        random.floats(channels, 1, k),
        random.floats(channels) if random.integer(0, 1) else None,
        random.floats(n, channels, k - 1) if random.integer(0, 1) else None,
    ]
    activation = random.choice("none", "silu", "swish")
    return Call(inputs, {"activation": activation}, outputs=2)
