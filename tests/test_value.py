"""Python's operators and indexing on values, and the operators as functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import hetu as ht
from hetu.errors import UsageError

X = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7 + 0.5


def run(value: ht.Value, **feeds: Any) -> np.ndarray:
    return ht.Executor([value]).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)[0]


@pytest.mark.parametrize(
    "expression",
    [
        lambda x: x + 2, lambda x: 2 + x, lambda x: x - 2, lambda x: 2 - x, lambda x: x * 3,
        lambda x: 3 * x, lambda x: x / 4, lambda x: 4 / x, lambda x: x**2, lambda x: 2**x,
        lambda x: -x, lambda x: x + x * x, lambda x: x - np.float32([1, 2, 3, 4]),
    ],
)  # fmt: skip
def test_arithmetic(expression: Callable[[Any], Any]) -> None:
    result = run(expression(ht.Variable(name="x")), x=X)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expression(X), rtol=1e-6)


def test_matrix_product() -> None:
    x, w = ht.Variable(name="x"), np.ones((4, 2), np.float32)
    np.testing.assert_allclose(run(x @ w, x=X), X @ w, rtol=1e-6)
    np.testing.assert_allclose(run(w.T @ ht.op.Transpose(x, perm=[0, 2, 1]), x=X),
                               w.T @ X.transpose(0, 2, 1), rtol=1e-6)  # fmt: skip


@pytest.mark.parametrize(
    "key",
    [
        0, -1, slice(1, None), slice(None, -1), slice(None, None, -1), slice(None, None, 2),
        (0, 1), (slice(None), 1, slice(0, 2)), (None, 0), (slice(None), None), (0, None, -1),
        (slice(None), slice(2, 0, -1)), (1, slice(None), None, 2), [1, 0, 1],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("opset", [11, 13, 20])
def test_indexing(key: Any, opset: int) -> None:
    with ht.opset(opset):
        value = ht.Variable(name="x")[key]
    np.testing.assert_array_equal(run(value, x=X), X[key])


def test_ellipsis_needs_a_rank() -> None:
    with pytest.raises(UsageError, match="rank"):
        ht.Variable(name="x")[..., 0]
    value = ht.Variable(name="w", value=X)[..., 0]
    np.testing.assert_array_equal(run(value), X[..., 0])


def test_indexing_by_a_value() -> None:
    ids = ht.Variable(name="ids", dtype=np.int64)
    w = ht.Variable(name="w", value=X)
    np.testing.assert_array_equal(run(w[ids], ids=[1, 1, 0]), X[[1, 1, 0]])


def test_values_cannot_be_iterated() -> None:
    with pytest.raises(TypeError, match="index or split"):
        list(ht.Variable(name="x"))


def test_operators_take_inputs_and_attributes_by_name() -> None:
    x = ht.Variable(name="x")
    value = ht.op.ReduceSum(x, axes=[0, 2], keepdims=0)
    np.testing.assert_allclose(run(value, x=X), X.sum((0, 2)), rtol=1e-6)
    first, second = ht.op.Split(x, split=[1, 2], axis=1, outputs=2)
    np.testing.assert_array_equal(run(second, x=X), X[:, 1:])
    assert first.node is second.node


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ht.op.Conv(x), "Conv: input 'w' is missing"),
        (lambda x: ht.op.Relu(x, x), "Relu takes 1 inputs, 2 are given"),
        (lambda x: ht.op.Relu(x, slope=1), "Relu has no 'slope'; it has: x"),
        (lambda x: ht.op.Concat(x, x), "Concat: attribute 'axis' is missing"),
        (lambda x: ht.op.Softmax(x, axis="last"), "Softmax: attribute 'axis'"),
    ],
)
def test_calls_that_do_not_fit(call: Callable[[ht.Value], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        call(ht.Variable(name="x"))


def test_unknown_operators() -> None:
    with pytest.raises(AttributeError, match="no ONNX operator 'Convolve'"):
        ht.op.Convolve  # noqa: B018
    with ht.opset(13), pytest.raises(UsageError, match="opset 13 of domain 'ai.onnx' has no Gelu"):
        ht.op.Gelu(ht.Variable(name="x"))
