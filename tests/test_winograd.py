"""Winograd's convolutions: the numbers of plain ones, on images in blocks of channels."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

import hetu as ht
from hetu import onednn
from hetu.ops.convolutions import trained_convolution
from hetu.ops.native import ACTIVATIONS
from tests.test_onednn import NUMBERS
from tests.test_replay import RUNS, Pair, graph_of
from tests.test_replay import random as numbers

PADS = (1, 1, 1, 1)
IMAGE = (1, 64, 24, 24)


def suits(shape: tuple[int, ...], outputs: int, trains: bool = False) -> bool:
    return onednn.is_available() and onednn.suits_winograd(shape, outputs, PADS, trains)


pytestmark = pytest.mark.skipif(
    not suits(IMAGE, 64, trains=True), reason="oneDNN's library or its processor has none"
)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def weight_of(outputs: int, inputs: int) -> torch.Tensor:
    return random(outputs, inputs, 3, 3) / math.sqrt(9 * inputs)


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Float32 adds up some thousand products; Winograd's sums cancel one decimal at most."""
    error = (actual.double() - expected).abs().max() / expected.abs().max()
    assert actual.shape == expected.shape and error < 1e-5, error


@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (2, 32, 5, 7), (3, 48, 8, 2)])
def test_blocks(shape: tuple[int, ...]) -> None:
    x = random(*shape)
    n, channels, height, width = shape
    expected = x.view(n, channels // 16, 16, height, width).permute(0, 1, 3, 4, 2)
    gapped = torch.stack([x, x], -1)[..., 0]
    for placed in (x, x.contiguous(memory_format=torch.channels_last), gapped):
        held = onednn.to_blocks(placed)
        assert torch.equal(held, expected) and held.is_contiguous()
        image = onednn.from_blocks(held)
        assert torch.equal(image, x) and image.is_contiguous(memory_format=torch.channels_last)


SHAPES = [
    ((1, 64, 36, 36), 32), ((1, 32, 40, 33), 64), ((3, 256, 14, 14), 48), ((1, 128, 28, 28), 128),
    ((4, 64, 30, 30), 64), ((1, 32, 200, 210), 32),
]  # fmt: skip


@pytest.mark.parametrize("pads", [PADS, (0, 0, 0, 0), (0, 1, 1, 0)])
@pytest.mark.parametrize(("shape", "outputs"), SHAPES)
def test_convolutions(shape: tuple[int, ...], outputs: int, pads: tuple[int, ...]) -> None:
    x, weight = random(*shape), weight_of(outputs, shape[1])
    padded = F.pad(x, (pads[1], pads[3], pads[0], pads[2])).double()
    packed = onednn.pack_winograd(weight, pads, shape)
    for bias in (None, random(outputs)):
        expected = F.conv2d(padded, weight.double(), None if bias is None else bias.double())
        for activation in ("", "Relu"):
            wanted = expected.relu() if activation else expected
            given = onednn.to_blocks(x), packed, bias, pads, activation
            assert_close(onednn.from_blocks(onednn.winograd_convolution(*given)), wanted)


@pytest.mark.parametrize("activation", ["", *sorted(onednn.ACTIVATIONS)])
@pytest.mark.parametrize("has_other", [True, False])
def test_sums_and_activations(activation: str, has_other: bool) -> None:
    has_other |= not activation
    x, other = random(2, 32, 5, 6), random(6, 32, 5, 2).view(2, 32, 5, 6)
    parameters = NUMBERS.get(activation, ())
    blocks = onednn.to_blocks(other) if has_other else None
    actual = onednn.plus_activation(onednn.to_blocks(x), blocks, activation, parameters)
    expected = ACTIVATIONS[activation][0](x + other if has_other else x, *parameters)
    torch.testing.assert_close(onednn.from_blocks(actual), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("pads", [PADS, (0, 0, 0, 0), (0, 1, 0, 1)])
@pytest.mark.parametrize(("shape", "outputs"), SHAPES[:-1])
def test_gradients(
    shape: tuple[int, ...], outputs: int, pads: tuple[int, ...], has_bias: bool
) -> None:
    x, weight = random(*shape), weight_of(outputs, shape[1])
    plain = [x, weight, *([random(outputs)] if has_bias else [])]
    leaves = [each.requires_grad_() for each in plain]
    exact = [each.detach().double().requires_grad_() for each in plain]
    around = (pads[1], pads[3], pads[0], pads[2])
    expected = F.conv2d(F.pad(exact[0], around), *exact[1:])
    actual = trained_convolution(leaves[0], leaves[1], (*leaves, None)[2], pads)
    assert_close(actual.detach(), expected.detach())
    gradient = random(*expected.shape)
    found = torch.autograd.grad(actual, leaves, gradient)
    wanted = torch.autograd.grad(expected, exact, gradient.double())
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize(
    ("shape", "outputs"),
    [
        ((1, 64, 32, 32), 40), ((1, 3, 64, 64), 64), ((1, 16, 64, 64), 64), ((1, 64, 4, 4), 64),
        ((1, 512, 16, 16), 512),
    ],
)  # fmt: skip
def test_what_is_faster_otherwise(shape: tuple[int, ...], outputs: int) -> None:
    assert not suits(shape, outputs)


def test_what_the_library_differentiates_wrongly() -> None:
    assert onednn.suits_winograd(IMAGE, 64, (0, 1, 1, 0))
    assert not onednn.suits_winograd(IMAGE, 64, (0, 1, 1, 0), trains=True)


def conv(outputs: int, inputs: int, seed: int = 0) -> np.ndarray:
    return numbers(outputs, inputs, 3, 3, seed=seed) / np.float32(math.sqrt(9 * inputs))


def winograds(pair: Pair) -> int:
    return sum(note.fusion == "winograd" for note in pair.executor.explain())


NETWORK = graph_of(
    """
    a = Conv x w1 ! pads=[1, 1, 1, 1]
    b = Relu a
    c = Conv b w2 b2 ! pads=[1, 1, 1, 1]
    d = Add c b
    e = HardSwish d
    f = MaxPool e ! kernel_shape=[2, 2], strides=[2, 2]
    g = Conv f w3 ! pads=[1, 1, 1, 1]
    h = Sigmoid g
    i = ConvTranspose h up ! strides=[2, 2]
    j = Concat e i ! axis=1
    k = Conv j w4 ! pads=[1, 1, 1, 1]
    l = Relu k
    m = AveragePool l ! kernel_shape=[2, 2], strides=[2, 2]
    n = Conv m w5
    y = GlobalAveragePool n
    """,
    ["y", "l", "f"],
    w1=conv(32, 3), w2=conv(32, 32), b2=numbers(32), w3=conv(64, 32),
    up=numbers(64, 32, 2, 2) / 8, w4=conv(48, 64, seed=1), w5=numbers(5, 48, 1, 1) / 7,
)  # fmt: skip


def test_a_network() -> None:
    """Images stay in blocks through pools, sums and concatenations, and come back from them."""
    pair = Pair(NETWORK)
    for seed in range(RUNS):
        for shape in ((1, 3, 68, 70), (2, 3, 66, 64)):
            pair.check(numbers(*shape, seed=seed))
    assert winograds(pair) == 3
    source = pair.executor.source()
    assert source.count("concat") == 1 and "plus_activation" in source


def test_another_number_of_threads() -> None:
    """Weights are packed again: their order depends on it."""
    nodes = "a = Conv x w ! pads=[1, 1, 1, 1]\ny = Relu a"
    pair = Pair(graph_of(nodes, ["y"], w=conv(512, 256)))
    before = torch.get_num_threads()
    try:
        for threads in (before, 16, 1, 3, before):
            torch.set_num_threads(threads)
            for seed in range(3):
                pair.check(numbers(3, 256, 14, 14, seed=seed))
    finally:
        torch.set_num_threads(before)
    assert winograds(pair) == 1


def test_several_threads() -> None:
    """Each has memory of its own to work with."""
    pair, fresh = Pair(NETWORK), Pair(NETWORK)
    images = [numbers(1, 3, 66, 64, seed=seed) for seed in range(8)]
    wanted = [fresh.run(x) for x in images]
    for x in images:
        pair.run(x)

    def compute(index: int) -> bool:
        return all(
            np.array_equal(one, other)
            for _ in range(10)
            for one, other in zip(pair.run(images[index]), wanted[index], strict=True)
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(compute, range(8)))


def test_weights_that_change() -> None:
    nodes = "a = Conv x w ! pads=[1, 1, 1, 1]\ny = Relu a"
    pair = Pair(graph_of(nodes, ["y"], w=conv(64, 64)))
    x = numbers(*IMAGE)
    (first,) = pair.run(x)
    pair.executor.load_dict({"w": 2 * pair.executor.state_dict()["w"]})
    np.testing.assert_array_equal(pair.run(x)[0], 2 * first)


LAYERS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "suits": ("Conv {x} {w} ! pads=[1, 1, 1, 1]", (0, 1, 1)),
    "has a stride": ("Conv {x} {w} ! pads=[1, 1, 1, 1], strides=[2, 2]", (0, 0.5, 0.5)),
    "has gaps": ("Conv {x} {w} ! pads=[2, 2, 2, 2], dilations=[2, 2]", (0, 1, 1)),
    "has groups": ("Conv {x} {grouped} ! pads=[1, 1, 1, 1], group=2", (0, 1, 1)),
    "is narrow": ("Conv {x} {narrow} ! pads=[1, 1, 1, 1]", (0, 1, 1)),
    "relu": ("Relu {x}", (1, 1, 1)),
    "elu": ("Elu {x}", (1, 1, 1)),
    "leaks": ("LeakyRelu {x}", (1, 1, 1)),
    "residual": ("Add {x} {old}", (1, 1, 1)),
    "pool": ("MaxPool {x} ! kernel_shape=[3, 3], pads=[1, 1, 1, 1]", (1, 1, 1)),
    "average": ("AveragePool {x} ! kernel_shape=[2, 2], strides=[2, 2]", (1, 0.5, 0.5)),
    "channels": ("Concat {x} {old} ! axis=1", (2, 1, 1)),
    "rows": ("Concat {x} {old} ! axis=2", (1, 2, 1)),
}
"""Layers, and by what they multiply channels (0: the weight decides), rows, columns."""

WEIGHTS = {"w": (32, 1), "grouped": (32, 2), "narrow": (24, 1)}


def network(kinds: list[str]) -> tuple[str, dict[str, np.ndarray]]:
    """Layers one after the other, and their weights."""
    lines, weights, made = [], {}, [("x", (32, 48.0, 48.0))]
    for index, kind in enumerate(kinds):
        (x, (channels, rows, columns)), name = made[-1], f"y{index}"
        call, (deeper, longer, wider) = LAYERS[kind]
        old = next((other for other, shape in made[-2::-1] if shape == made[-1][1]), "")
        if ("{old}" in call and not old) or min(rows, columns) < 3:
            continue
        form = next((form for form in WEIGHTS if f"{{{form}}}" in call), None)
        if form is not None:
            outputs, groups = WEIGHTS[form]
            weights[f"w{index}"] = conv(outputs, channels // groups, seed=index)
        lines.append(f"{name} = {call.format(x=x, old=old, **dict.fromkeys(WEIGHTS, f'w{index}'))}")
        depth = channels * deeper if form is None else WEIGHTS[form][0]
        made.append((name, (int(depth), rows * longer, columns * wider)))
    return "\n".join(lines), weights


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=7))
def test_random_networks(kinds: list[str]) -> None:
    """With and without passes, and in ONNX Runtime."""
    nodes, weights = network(["suits", *kinds])
    results = [line.split()[0] for line in nodes.splitlines()]
    wanted = dict.fromkeys([results[-1], results[len(results) // 2]])
    pair = Pair(graph_of(nodes, list(wanted), **weights))
    plain = ht.Executor(list(pair.model.outputs.values()), optimize=False)
    for seed in range(3):
        x = numbers(1, 32, 48, 48, seed=seed)
        pair.check(x)
        unchanged = plain.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
        for actual, expected in zip(pair.run(x), unchanged, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(sorted({*LAYERS} - {"pool"})), min_size=1, max_size=5))
def test_random_gradients(kinds: list[str]) -> None:
    """With and without passes; where maxima are, rounding may decide."""
    nodes, weights = network(["suits", *kinds])
    result = nodes.splitlines()[-1].split()[0]
    x, found = numbers(2, 32, 32, 32), []
    for optimize in (True, False):
        model = ht.onnx.load_onnx(graph_of(nodes, [result], **weights))
        (y,) = model.outputs.values()
        variables = [model.variables[name] for name in weights]
        gradients = ht.gradients(ht.op.ReduceMean(y * y, keepdims=False), variables)
        executor = ht.Executor([y, *gradients], optimize=optimize)
        found.append(executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True))
        if optimize:
            notes = [n for n in executor.explain() if n.fusion == "trained convolution"]
            assert not notes[0].reason
    for actual, expected in zip(*found, strict=True):
        scale = float(np.abs(expected).max())
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * scale)


def test_gradients_of_gradients() -> None:
    """What is differentiated twice stays as it is."""
    model = ht.onnx.load_onnx(graph_of("y = Conv x w ! pads=[1, 1, 1, 1]", ["y"], w=conv(64, 64)))
    (y,), w = model.outputs.values(), model.variables["w"]
    (first,) = ht.gradients(ht.op.ReduceSum(y * y * y, keepdims=False), [w])
    (second,) = ht.gradients(ht.op.ReduceSum(first * first, keepdims=False), [w])
    results = [
        ht.Executor([second], optimize=optimize).run(
            feed_dict={"x": numbers(*IMAGE)}, convert_to_numpy_ret_vals=True
        )[0]
        for optimize in (True, False)
    ]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5 * float(np.abs(results[1]).max()))
