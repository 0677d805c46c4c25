"""Convolutions of single pixels with those of each channel after them, in one step."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from hetu import onednn
from hetu.ops.native import ACTIVATIONS
from tests.test_onednn import NUMBERS, assert_close, random
from tests.test_replay import Pair, graph_of
from tests.test_replay import random as numbers

SHAPE, CHANNELS = (8, 64, 14, 14), 384
PAIR = onednn.DepthwisePair(1, (True, True))

pytestmark = pytest.mark.skipif(
    not onednn.is_available() or not onednn.suits_depthwise(SHAPE, CHANNELS, PAIR),
    reason="oneDNN's library or its processor has no way for it",
)


@pytest.mark.parametrize("activation", ["", "Relu", "Clip", "HardSwish", "Silu"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [SHAPE, (8, 24, 55, 57)])
def test_both_convolutions(shape: tuple[int, ...], stride: int, activation: str) -> None:
    x, follows = random(*shape), (activation, NUMBERS.get(activation, ()))
    first = random(CHANNELS, shape[1], 1, 1) / math.sqrt(shape[1])
    second = random(CHANNELS, 1, 3, 3) / 3
    biases = random(CHANNELS), random(CHANNELS) / 2
    function = ACTIVATIONS[activation][0]
    for biased, is_last in product(product((True, False), repeat=2), (True, False)):
        if biased == (False, True):
            continue
        activations = (("", ()), follows) if is_last else (follows,)
        pair = onednn.DepthwisePair(stride, biased, *activations)
        given = [bias if has else None for bias, has in zip(biases, biased, strict=True)]
        between = F.conv2d(x, first, given[0])
        between = between if is_last else function(between, *follows[1])
        expected = F.conv2d(between, second, given[1], stride, 1, 1, CHANNELS)
        expected = function(expected, *follows[1]) if is_last else expected
        packed = onednn.pack_depthwise(first, second, pair, shape)
        actual = onednn.pointwise_depthwise(x, packed, given, pair)
        assert actual.is_contiguous(memory_format=torch.channels_last)
        assert_close(actual, expected)


def test_what_the_library_computes_wrongly() -> None:
    assert not onednn.suits_depthwise(SHAPE, CHANNELS, onednn.DepthwisePair(1, (False, True)))


def weights(channels: int = CHANNELS) -> dict[str, np.ndarray]:
    return {
        "p": numbers(channels, 64, 1, 1) / 8, "pb": numbers(channels),
        "d": numbers(channels, 1, 3, 3) / 3, "db": numbers(channels, seed=1),
        "q": numbers(24, channels, 1, 1) / 20, "low": np.float32(0), "high": np.float32(6),
    }  # fmt: skip


def pairs_of(pair: Pair) -> int:
    return sum(note.fusion == "depthwise" for note in pair.executor.explain())


NETWORK = """
a = Conv x p pb
b = Clip a low high
c = Conv b d db ! pads=[1, 1, 1, 1], strides=[2, 2], group=384
e = HardSwish c
y = Conv e q
"""


def test_a_network() -> None:
    pair = Pair(graph_of(NETWORK, ["y"], **weights()))
    for seed in range(4):
        for shape in (SHAPE, (8, 64, 13, 16), (1, 64, 7, 7)):
            pair.check(numbers(*shape, seed=seed))
    pair.check(numbers(*SHAPE))
    assert pairs_of(pair) == 1


@pytest.mark.parametrize(
    ("change", "outputs"),
    [
        (("", ""), ["y", "b"]),
        (("strides=[2, 2]", "strides=[1, 2]"), ["y"]),
        (("pads=[1, 1, 1, 1]", "pads=[0, 0, 1, 1]"), ["y"]),
        (("group=384", "group=384, dilations=[2, 2]"), ["y"]),
        (("Conv x p pb", "Conv x p pb ! strides=[2, 2]"), ["y"]),
        (("Conv x p pb", "Conv x p pb ! pads=[1, 1, 1, 1]"), ["y"]),
        (("b = Clip a low high", "b = Elu a"), ["y"]),
        (("Conv x p pb", "Conv x p"), ["y"]),
    ],
)
def test_others(change: tuple[str, str], outputs: list[str]) -> None:
    pair = Pair(graph_of(NETWORK.replace(*change), outputs, **weights()))
    for seed in range(3):
        pair.check(numbers(*SHAPE, seed=seed))
    assert pairs_of(pair) == 0


def test_weights_that_change() -> None:
    given = weights()
    pair = Pair(graph_of(NETWORK, ["y"], **given))
    pair.run(numbers(*SHAPE))
    changed = {name: given[name] * 2 for name in ("p", "d", "db")}
    pair.executor.load_dict({**pair.executor.state_dict(), **changed})
    fresh = Pair(graph_of(NETWORK, ["y"], **{**given, **changed}))
    for seed in range(3):
        x = numbers(*SHAPE, seed=seed)
        np.testing.assert_array_equal(pair.run(x)[0], fresh.run(x)[0])
