"""ShuffleNet's exchange of channels: torch's values and gradients, ONNX Runtime's results."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import hetu as ht

SHAPE = (2, 6, 5, 4)
GROUPS = 2


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape or SHAPE).astype(np.float32)


def shuffled(
    x: Any,
    parts: tuple[int, ...] = (2, 2, 3, 5, 4),
    perm: tuple[int, ...] = (0, 2, 1, 3, 4),
    whole: tuple[int, ...] = SHAPE,
) -> tuple[Any, Any]:
    """What exporters write, and the parts in it."""
    split = ht.op.Reshape(x, ht.constant(np.int64(parts)))
    exchanged = ht.op.Transpose(split, perm=list(perm))
    return ht.op.Reshape(exchanged, ht.constant(np.int64(whole))), split


def notes(executor: ht.Executor) -> list[str]:
    """The reasons that the fusion gave: "" where it fused."""
    return [note.reason for note in executor.explain() if note.fusion == "channel shuffle"]


def ran(results: list[Any], **options: Any) -> tuple[list[np.ndarray], ht.Executor]:
    executor = ht.Executor(results, **options)
    return executor.run(convert_to_numpy_ret_vals=True), executor


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_values(dtype: type[np.generic]) -> None:
    x = ht.Variable(name="x", value=(9 * image()).astype(dtype), dtype=dtype)
    (y,), executor = ran([shuffled(x)[0]])
    expected = torch.channel_shuffle(torch.from_numpy((9 * image()).astype(np.float64)), GROUPS)
    np.testing.assert_array_equal(y, expected.numpy().astype(dtype))
    assert y.dtype == dtype
    assert notes(executor) == ([""] if dtype is np.float32 else [])


@pytest.mark.parametrize("optimize", [True, False])
def test_gradients(optimize: bool) -> None:
    x, factors = ht.Variable(name="x", value=image()), image(*SHAPE) ** 2
    y = shuffled(x)[0]
    (first,) = ht.gradients(ht.op.ReduceSum(y * y * y * factors, keepdims=0), [x])
    (second,) = ht.gradients(ht.op.ReduceSum(first * first, keepdims=0), [x])
    leaf = torch.from_numpy(image()).double().requires_grad_()
    z = leaf.view(2, 2, 3, 5, 4).transpose(1, 2).reshape(SHAPE)
    (one,) = torch.autograd.grad((z**3 * torch.from_numpy(factors)).sum(), leaf, create_graph=True)
    (two,) = torch.autograd.grad((one * one).sum(), leaf)
    for wanted, result in ((one, first), (two, second)):
        (found,), executor = ran([result], optimize=optimize)
        np.testing.assert_allclose(found, wanted.detach().numpy(), rtol=1e-5, atol=1e-5)
        assert notes(executor) == ([""] if optimize else [])


@pytest.mark.parametrize(
    "changed",
    [
        {"perm": (0, 1, 2, 3, 4)},
        {"parts": (2, 2, 3, 4, 5), "whole": (2, 6, 4, 5)},
        {"parts": (2, 6, 5, 2, 2)},
        {"parts": (1, 2, 6, 5, 4)},
        {"perm": (0, 2, 1, 4, 3), "whole": (2, 6, 4, 5)},
        {"whole": (2, 3, 2, 20)},
    ],
)
def test_near_misses(changed: dict[str, tuple[int, ...]]) -> None:
    (y,), executor = ran([shuffled(ht.Variable(name="x", value=image()), **changed)[0]])
    parts = changed.get("parts", (2, 2, 3, 5, 4))
    exchanged = image().reshape(parts).transpose(changed.get("perm", (0, 2, 1, 3, 4)))
    np.testing.assert_array_equal(y, exchanged.reshape(changed.get("whole", SHAPE)))
    assert notes(executor) == []


def test_parts_that_are_used_elsewhere() -> None:
    whole, split = shuffled(ht.Variable(name="x", value=image()))
    (y, parts), executor = ran([whole, ht.op.Neg(split)])
    np.testing.assert_array_equal(parts, -image().reshape(2, 2, 3, 5, 4))
    np.testing.assert_array_equal(y, image().reshape(2, 2, 3, 5, 4).swapaxes(1, 2).reshape(SHAPE))
    (reason,) = notes(executor)
    assert "used elsewhere" in reason


def test_a_unit_of_a_network() -> None:
    """Two branches, exchanged and parted again, as in ShuffleNet."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Conv", ["x", "v"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("Reshape", ["c", "apart"], ["d"]),
        helper.make_node("Transpose", ["d"], ["e"], perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["e", "together"], ["f"]),
        helper.make_node("Split", ["f"], ["g", "h"], axis=1),
        helper.make_node("Conv", ["h", "u"], ["i"]),
        helper.make_node("Concat", ["g", "i"], ["y"], axis=1),
    ]
    weights = {"w": image(8, 3, 1, 1), "v": image(8, 3, 1, 1) + 1, "u": image(8, 8, 1, 1)}
    shapes = {"apart": np.int64([0, 2, 8, 7, 7]), "together": np.int64([0, 16, 7, 7])}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 7, 7])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 16, 7, 7])],
        [numpy_helper.from_array(array, name) for name, array in {**weights, **shapes}.items()],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    executor = ht.Executor(list(ht.onnx.load_onnx(proto).outputs.values()))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    for batch in (1, 3):
        x = image(batch, 3, 7, 7)
        (y,) = executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
        np.testing.assert_allclose(y, session.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)
        assert notes(executor) == [""]
