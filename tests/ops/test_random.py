"""Dropout and random numbers: distributions, seeds, types."""

import numpy as np
import onnx
import pytest
import torch

from hetu.onnx import load_onnx
from hetu.ops.ai_onnx import random
from hetu.ops.kinds import Context
from hetu.runtime.executor import Executor
from hetu.types import dtype

COUNT = 40_000


def context(training: bool | None = None) -> Context:
    return Context(training, torch.Generator().manual_seed(0))


def assert_near(value: torch.Tensor | float, expected: float, deviation: float) -> None:
    """Within five deviations of a mean over `COUNT` draws."""
    assert abs(float(value) - expected) < 5 * deviation / COUNT**0.5


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_dropout_trains(ratio: float, kind: torch.dtype) -> None:
    x = torch.full((COUNT,), 3.0, dtype=kind, requires_grad=True)
    y, mask = random.dropout(x, ratio, ctx=context(True))
    assert mask is not None and (y.dtype, mask.dtype) == (kind, torch.bool)
    assert_near(mask.double().mean(), 1 - ratio, (ratio * (1 - ratio)) ** 0.5)
    expected = torch.where(mask, 3 / (1 - ratio), 0).to(kind)
    torch.testing.assert_close(y, expected)
    y.sum().backward()
    torch.testing.assert_close(x.grad, expected / 3)


def test_dropout_infers() -> None:
    x = torch.randn(3, 4)
    for y, mask in (
        random.dropout(x, 0.9, True, ctx=context(False)),
        random.dropout(x, 0.9, False, ctx=context(None)),
        random.dropout(x, 0.0, True, ctx=context(True)),
        random.dropout_10(x, ratio=0.9, ctx=context(None)),
        random.dropout_7(x, ratio=0.9, ctx=context(None)),
        random.dropout_1(x, is_test=True, ratio=0.9, ctx=context(None)),
    ):
        assert y is x and mask is not None and mask.all()


def test_masks_until_version_10_have_the_type_of_the_data() -> None:
    for function in (random.dropout_1, random.dropout_7):
        y, mask = function(torch.ones(COUNT), ratio=0.25, ctx=context(True))
        assert mask is not None and mask.dtype == torch.float32
        torch.testing.assert_close(y, mask / 0.75)


def masks(seed: int | None, executor_seed: int | None) -> list[np.ndarray]:
    """What a node drops in two runs of an executor."""
    node = onnx.helper.make_node("Dropout", ["x"], ["y", "mask"], seed=seed)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [200])
    mask = onnx.helper.make_tensor_value_info("mask", onnx.TensorProto.BOOL, [200])
    graph = onnx.helper.make_graph([node], "g", [x], [mask])
    model = load_onnx(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    )
    executor = Executor([model.outputs["mask"]], inference=False, seed=executor_seed)
    feeds = {"x": np.ones(200, np.float32)}
    return [executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)[0] for _ in range(2)]


@pytest.mark.parametrize(("seed", "executor_seed"), [(7, None), (-7, None), (None, 3), (7, 3)])
def test_a_seed_repeats_the_runs_but_not_the_masks(
    seed: int | None, executor_seed: int | None
) -> None:
    first, second = masks(seed, executor_seed)
    assert (first != second).any()
    np.testing.assert_array_equal(masks(seed, executor_seed), [first, second])


def test_seeds_differ() -> None:
    draws = [random.random_normal(shape=(4,), seed=seed, ctx=context()) for seed in (0.0, 0.5, 1.0)]
    assert len({tuple(draw.tolist()) for draw in draws}) == 3


@pytest.mark.parametrize("seed", [None, 2.0])
def test_normal(seed: float | None) -> None:
    x = random.random_normal(shape=(COUNT,), mean=3.0, scale=2.0, seed=seed, ctx=context())
    assert x.dtype == torch.float32
    assert_near(x.mean(), 3, 2)
    assert_near((x - 3).square().mean(), 4, 4 * 2**0.5)


@pytest.mark.parametrize("seed", [None, 2.0])
def test_uniform(seed: float | None) -> None:
    x = random.random_uniform(shape=(COUNT,), low=-1.0, high=3.0, seed=seed, ctx=context())
    assert x.min() >= -1 and x.max() < 3
    assert_near(x.mean(), 1, 4 / 12**0.5)


@pytest.mark.parametrize("like", [random.random_normal_like, random.random_uniform_like])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "bfloat16"])
def test_like(like: object, kind: str) -> None:
    assert callable(like)
    for x in (np.full((2, 3), "a", object), torch.zeros(2, 3, dtype=torch.uint16)):
        y = like(x, dtype=dtype(kind), ctx=context())
        assert y.shape == (2, 3) and y.dtype == dtype(kind).torch
    y = like(torch.zeros((), dtype=dtype(kind).torch), ctx=context())
    assert y.shape == () and y.dtype == dtype(kind).torch


@pytest.mark.parametrize(
    "kind", ["float32", "uint8", "uint16", "uint32", "uint64", "int64", "bool", "bfloat16"]
)
def test_bernoulli(kind: str) -> None:
    p = torch.full((COUNT,), 0.2, dtype=torch.float64)
    x = random.bernoulli(p, dtype=dtype(kind), ctx=context())
    assert x.dtype == dtype(kind).torch
    assert_near(x.double().mean(), 0.2, 0.4)
    assert random.bernoulli(p, ctx=context()).dtype == torch.float64


def test_multinomial() -> None:
    p = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    x = random.multinomial(p.log() + 5, sample_size=COUNT, ctx=context())
    assert x.shape == (2, COUNT) and x.dtype == torch.int32
    for row, probabilities in zip(x, p.tolist(), strict=True):
        for value, probability in enumerate(probabilities):
            assert_near((row == value).double().mean(), probability, 0.5)
    assert random.multinomial(p.log(), dtype=dtype("int64"), ctx=context()).dtype == torch.int64
