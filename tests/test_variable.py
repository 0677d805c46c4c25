"""Variables and feeds: what they hold, and how an executor runs them."""

import ml_dtypes
import numpy as np
import pytest
import torch

from hetu import ir
from hetu.api.initializers import ConstantInit, NormalInit
from hetu.api.value import Value
from hetu.api.variable import Variable, placeholder_op
from hetu.errors import UsageError
from hetu.runtime.executor import Executor
from hetu.runtime.ndarray import array
from hetu.types import TensorType, dtype


def content(variable: Value) -> np.ndarray:
    assert isinstance(variable.data, ir.Tensor)
    return variable.data.array


def test_feed() -> None:
    feed = Variable("x")
    assert isinstance(feed, Value) and feed.is_feed and feed.casts
    assert (feed.name, feed.type) == ("x", TensorType(dtype("float32")))
    assert not feed.trainable


def test_placeholder_is_the_same() -> None:
    assert placeholder_op is Variable
    assert placeholder_op("ids", dtype=np.int32).dtype is dtype("int32")


@pytest.mark.parametrize("given", [np.float64, np.float32, np.int8, bool])
def test_value_is_cast(given: type) -> None:
    values = np.array([[0, 1, 1], [1, 0, 1]], given)
    variable = Variable("w", values)
    assert content(variable).dtype == np.float32
    np.testing.assert_array_equal(content(variable), [[0, 1, 1], [1, 0, 1]])
    assert variable.type == TensorType(dtype("float32"), (2, 3))
    assert variable.trainable and not variable.constant


@pytest.mark.parametrize("element", [np.float16, np.float64, ml_dtypes.bfloat16, "bfloat16"])
def test_dtype(element: object) -> None:
    variable = Variable("w", value=[1.5, -2.25], dtype=element)
    assert content(variable).dtype == dtype(element).numpy  # pyright: ignore[reportArgumentType]
    assert content(variable).astype(float).tolist() == [1.5, -2.25]
    assert variable.trainable


@pytest.mark.parametrize("element", [np.int32, np.int64, bool])
def test_only_floats_train(element: object) -> None:
    assert not Variable("w", np.ones(2), dtype=element).trainable
    assert not Variable("w", None, ConstantInit(1, (2,)), dtype=element).trainable


@pytest.mark.parametrize("value", [array([1, 2]), torch.tensor([1.0, 2.0]), [1, 2], (1.0, 2)])
def test_kinds_of_values(value: object) -> None:
    assert content(Variable("w", value)).tolist() == [1, 2]


@pytest.mark.parametrize("kind", [np.array, array])
def test_later_writes_do_not_reach_the_variable(kind: object) -> None:
    source = kind(np.array([1, 2], np.float32))  # pyright: ignore[reportCallIssue]
    variable = Variable("w", source)
    source[:] = np.zeros(2, np.float32)
    assert content(variable).tolist() == [1, 2]


def test_positional_and_keyword_arguments_agree() -> None:
    init = NormalInit(0, 1, (2, 3))
    first = Variable("w", None, init, False, np.float64, None)
    second = Variable(name="w", initializer=init, trainable=False, dtype=np.float64, ctx=None)
    for variable in (first, second):
        assert isinstance(variable.data, ir.Recipe)
        assert variable.name == "w" and not variable.trainable
        assert variable.type == TensorType(dtype("float64"), (2, 3))


@pytest.mark.parametrize(
    ("value", "initializer", "text"),
    [
        (np.ones(2), ConstantInit(1, (2,)), "not both"),
        (None, "zeros", "'zeros' is no initializer"),
        ("text", None, "no float32 array"),
        ([[1, 2], [3]], None, "no float32 array"),
    ],
)
def test_wrong_use(value: object, initializer: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Variable("w", value, initializer)  # pyright: ignore[reportArgumentType]


def test_run() -> None:
    x = Variable("x")
    w = Variable("w", np.array([1.0, 2.0, 4.0]))
    drawn = Variable("drawn", initializer=ConstantInit(0.5, (3,)))
    executor = Executor([x + w, x + drawn])
    sums, halves = executor.run(feed_dict={x: np.array([1, 2, 3])}, convert_to_numpy_ret_vals=True)
    assert (sums.tolist(), sums.dtype) == ([2, 4, 7], np.float32)
    assert halves.tolist() == [1.5, 2.5, 3.5]


def test_seed_decides_initial_values() -> None:
    variable = Variable("w", initializer=NormalInit(0, 1, (100,)))
    draws = [Executor([variable], seed=seed).state_dict()["w"] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.any(draws[0] == draws[2])
