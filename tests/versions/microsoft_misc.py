"""Calls of com.microsoft's operators on images, words and arrays, and of layouts."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example
from tests.support.numbers import numbers, shape

DOMAIN = "com.microsoft"


@example("Range", domain=DOMAIN)
def range_(random: Random, version: int) -> Call:
    kind = random.choice(np.float32, np.float64, np.int16, np.int32, np.int64)
    size = random.choice((), (1,))
    delta = random.choice(-2, 1, 3)
    start, limit = random.integer(-9, 9), random.integer(-9, 9)
    inputs = [np.full(size, value, kind) for value in (start, limit, delta)]
    return Call(inputs if random.integer(0, 2) else inputs[:2])


@example("Pad", domain=DOMAIN)
def pad(random: Random, version: int) -> Call:
    data = random.floats(*(random.integer(3, 5) for _ in range(random.integer(1, 4))))
    pads = random.integers(2 * data.ndim, low=-1, high=2)
    mode = random.choice("constant", "reflect", "edge")
    pads = pads if mode == "constant" else abs(pads)
    pads = pads[None] if random.integer(0, 1) else pads
    value = random.choice(None, np.array(1.5, np.float32), np.array([2.5], np.float32))
    return Call([data, pads, value if mode == "constant" else None], {"mode": mode})


@example("ExpandDims", domain=DOMAIN)
def expand_dims(random: Random, version: int) -> Call:
    kind = random.choice(np.float32, np.int64, np.uint8, np.float64, np.bool_, np.float16)
    x = numbers(random, shape(random), np.uint8).astype(kind)
    return Call([x, np.array(random.integer(-x.ndim - 1, x.ndim), np.int32)])


@example("SampleOp", domain=DOMAIN)
def sample_op(random: Random, version: int) -> Call:
    return Call([random.floats(*shape(random))])


@example("Unique", domain=DOMAIN)
def unique(random: Random, version: int) -> Call:
    x = random.integers(random.integer(1, 12), low=-3, high=3).astype(np.float32)
    return Call([x], outputs=3)


@example("ConvTransposeWithDynamicPads", domain=DOMAIN)
def conv_transpose_with_dynamic_pads(random: Random, version: int) -> Call:
    group, channels, outputs = random.integer(1, 2), random.integer(1, 3), random.integer(1, 3)
    x = random.floats(2, group * channels, random.integer(3, 6), random.integer(3, 6))
    w = random.floats(group * channels, outputs, 3, 2)
    pads = random.integers(4, low=0, high=1)  # which ONNX Runtime wants always, and early
    attributes: dict[str, Any] = {"group": group, "strides": [random.integer(1, 2), 2]}
    attributes |= random.choice({}, {"dilations": [1, 2]}, {"output_padding": [0, 1]})
    b = random.choice(None, random.floats(group * outputs))
    return Call([x, w, pads, b], attributes, constants=(2,), atol=1e-4)


@example("GridSample", domain=DOMAIN)
def grid_sample(random: Random, version: int) -> Call:
    n, height, width = random.integer(1, 3), random.integer(2, 5), random.integer(2, 5)
    x = random.floats(n, random.integer(1, 3), height, width)
    grid = random.floats(n, random.integer(1, 4), random.integer(1, 4), 2, low=-1.4, high=1.4)
    attributes = {
        "align_corners": random.integer(0, 1),
        "mode": random.choice("bilinear", "nearest", "bicubic"),
        "padding_mode": random.choice("zeros", "border", "reflection"),
    }
    return Call([x, grid], attributes, atol=1e-4)


@example("CropAndResize", domain=DOMAIN)
def crop_and_resize(random: Random, version: int) -> Call:
    n, count = random.integer(1, 3), random.integer(1, 4)
    x = random.floats(n, random.integer(1, 3), random.integer(1, 6), random.integer(1, 6))
    rois = random.floats(count, 4, low=-0.1, high=1.1)
    images = random.integers(count, low=0, high=n - 1, dtype=np.int32)
    size = random.integers(2, low=1, high=5, dtype=np.int32)
    attributes = {"mode": random.choice("bilinear", "nearest"), "extrapolation_value": 7.0}
    return Call([x, rois, images, size], random.choice({}, attributes))


@example("MaxpoolWithMask", domain=DOMAIN)
def maxpool_with_mask(random: Random, version: int) -> Call:
    rank = random.integer(1, 3)
    sizes = [random.integer(4, 6) for _ in range(rank)]
    x = random.floats(random.integer(1, 2), random.integer(1, 3), *sizes)
    # ONNX Runtime uses the first channel of the mask for all, and never hides the first element.
    mask = random.integers(1, 1, *sizes, low=0, high=3, dtype=np.int32)
    mask[(0,) * mask.ndim] = 1
    kernel = [random.integer(2, 3) for _ in range(rank)]
    attributes = {"kernel_shape": kernel, "strides": list(random.shape(rank, 2))}
    attributes |= random.choice({}, {"pads": [1, 0] * rank})
    return Call([x, mask], attributes)


@example("NhwcMaxPool", domain=DOMAIN)
def nhwc_max_pool(random: Random, version: int) -> Call:
    kind = random.choice(np.uint8, np.int8)
    x = numbers(random, (random.integer(1, 2), 6, 7, random.integer(1, 3)), kind)
    attributes: dict[str, Any] = {"kernel_shape": [random.integer(1, 3), 3]}
    attributes |= random.choice({}, {"pads": [0, 1, 0, 1]}, {"auto_pad": "SAME_UPPER"})
    attributes |= random.choice({}, {"strides": [2, 1]}, {"ceil_mode": 1, "strides": [2, 2]})
    return Call([x], attributes)


@example("WordConvEmbedding", domain=DOMAIN)
def word_conv_embedding(random: Random, version: int) -> Call:
    words, length, width, size = (random.integer(2, 5) for _ in range(4))
    length += width
    sequence = random.integers(words, length, low=1, high=8, dtype=np.int32)
    ends = random.integers(words, low=1, high=length)  # ONNX Runtime leaves empty words undefined
    sequence[np.arange(length) >= ends[:, None]] = 0
    filters = random.integer(1, 4)
    w = random.floats(filters, 1, width, size, low=-1, high=1)
    return Call([sequence, w, random.floats(filters), random.floats(9, size)])


@example("NGramRepeatBlock", domain=DOMAIN)
def n_gram_repeat_block(random: Random, version: int) -> Call:
    batch, words = random.integer(1, 3), random.integer(2, 4)
    ids = random.integers(batch, random.integer(1, 9), low=0, high=words - 1)
    return Call([ids, random.floats(batch, words)], {"ngram_size": random.integer(1, 4)})


@example("BifurcationDetector", domain=DOMAIN)
def bifurcation_detector(random: Random, version: int) -> Call:
    source = random.integers(random.integer(1, 9), low=0, high=3)
    tokens = random.integers(random.integer(1, 6), low=0, high=3)
    start = random.integer(0, len(source))
    predicted = np.append(source[start:], random.integer(0, 3))
    predicted[random.integer(0, len(predicted) - 1)] = 2
    attributes = random.choice({}, {"min_ngram_size": 2, "max_ngram_size": 4})
    start = np.array([start], np.int64)
    return Call([source, tokens, start, random.choice(None, predicted)], attributes, outputs=2)


@example("MurmurHash3", domain=DOMAIN)
def murmur_hash3(random: Random, version: int) -> Call:
    attributes = {"positive": random.integer(0, 1), "seed": random.integer(0, 99)}
    dims = random.shape(random.integer(1, 3))
    if random.integer(0, 2) == 0:
        texts = [random.choice("", "a", "abc", "word", "größer", "日本語") for _ in range(50)]
        count = int(np.prod(dims))
        x = np.array((texts * 3)[:count], object).reshape(dims)
        return Call([x], attributes)
    kind = random.choice(np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64)
    return Call([numbers(random, dims, kind)], attributes)


@example("DynamicTimeWarping", domain=DOMAIN)
def dynamic_time_warping(random: Random, version: int) -> Call:
    batch = random.choice((), (1,))
    return Call([random.floats(*batch, *random.shape(2, 7), low=0)])


@example("Crop")
def crop(random: Random, version: int) -> Call:
    x = random.floats(*random.shape(2), random.integer(3, 6), random.integer(3, 6))
    attributes = {"border": [random.integer(0, 1) for _ in range(4)]}
    return Call([x], attributes | random.choice({}, {"scale": [2, 1]}))


@example("DynamicSlice")
def dynamic_slice(random: Random, version: int) -> Call:
    x = random.integers(rank=random.integer(1, 4))
    kind, count = random.choice(np.int32, np.int64), random.integer(1, x.ndim)
    starts, ends = (random.integers(count, low=-6, high=6, dtype=kind) for _ in range(2))
    axes = random.source.permutation(x.ndim)[:count].astype(kind)
    return Call([x, starts, ends, random.choice(None, axes)])


@example("MemcpyFromHost")
def memcpy_from_host(random: Random, version: int) -> Call:
    return Call([random.floats(*shape(random))])


@example("MemcpyToHost")
def memcpy_to_host(random: Random, version: int) -> Call:
    return memcpy_from_host(random, version)


@example("UnfoldTensor", domain=DOMAIN)
def unfold_tensor(random: Random, version: int) -> Call:
    kind = random.choice(np.float32, np.int64, np.int32, np.float64)
    x = numbers(random, random.shape(random.integer(1, 4)), np.uint8).astype(kind)
    dim = random.axis(x)
    attributes = {"dim": dim, "size": random.integer(1, x.shape[dim])}
    return Call([x], attributes | random.choice({}, {"step": random.integer(1, 3)}))


@example("GatherND", domain=DOMAIN)
def gather_nd(random: Random, version: int) -> Call:
    x = random.floats(rank=random.integer(1, 4))
    depth = random.integer(1, x.ndim)
    count = random.shape(random.integer(1, 2))
    places = [random.integers(*count, low=-n, high=n - 1) for n in x.shape[:depth]]
    indices = np.stack(places, -1)
    return Call([x, indices.astype(random.choice(np.int32, np.int64))])


@example("CDist", domain=DOMAIN)
def c_dist(random: Random, version: int) -> Call:
    m, k, n = random.shape(3)
    kind = random.choice(np.float32, np.float64)
    a, b = (random.floats(rows, n).astype(kind) for rows in (m, k))
    attributes = {"metric": random.choice("sqeuclidean", "euclidean")}
    return Call([a, b], attributes, rtol=1e-4, atol=1e-4)


@example("MatMulInteger16", domain=DOMAIN)
def mat_mul_integer16(random: Random, version: int) -> Call:
    batch, (m, n, k) = random.shape(random.integer(0, 2)), random.shape(3)
    shapes = ((*batch, m, k), (*random.choice((), batch), k, n))
    inputs = [random.integers(*s, low=-(2**15), high=2**15 - 1, dtype=np.int16) for s in shapes]
    return Call(inputs)
