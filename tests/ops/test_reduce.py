"""Reductions where ONNX Runtime cannot be compared with: empty sets, rare types, gradients."""

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
import torch

from hetu.convert import to_numpy, to_torch
from hetu.ops.ai_onnx import reduce
from hetu.ops.registry import find
from hetu.runtime.widen import widened
from hetu.types import dtype


def call(op_type: str, x: np.ndarray, *axes: int, **attributes: object) -> np.ndarray:
    """The newest kernel's result on values of any type."""
    kernel = find("", op_type, 99)
    assert kernel is not None
    given = (axes,) if "axes" in {p.name for p in kernel.inputs} else ()
    function = lambda *inputs, **options: kernel.function(*inputs, **attributes, **options)  # noqa: E731
    return to_numpy(widened(function, kernel)(to_torch(x), *given))


@pytest.mark.parametrize("kind", ["float32", "float16", "int32", "int64", "uint32", "uint64"])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize(
    ("op_type", "expected"),
    [("ReduceSum", 0), ("ReduceProd", 1), ("ReduceSumSquare", 0), ("ReduceL1", 0), ("ReduceL2", 0)],
)
def test_empty_set(op_type: str, expected: int, keepdims: bool, kind: str) -> None:
    result = call(op_type, np.zeros((2, 0, 3), kind), 1, keepdims=keepdims)
    np.testing.assert_array_equal(result, np.full((2, 1, 3) if keepdims else (2, 3), expected))
    assert result.dtype == kind


@pytest.mark.parametrize("op_type", ["ReduceLogSum", "ReduceLogSumExp"])
def test_logarithm_of_empty_set(op_type: str) -> None:
    np.testing.assert_array_equal(call(op_type, np.zeros((0, 2), np.float32), 0), [[-np.inf] * 2])


@pytest.mark.parametrize(
    ("kind", "least", "greatest"),
    [
        ("float32", -np.inf, np.inf),
        ("float16", -np.inf, np.inf),
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("int32", -(2**31), 2**31 - 1),
        ("int64", -(2**63), 2**63 - 1),
        ("uint32", 0, 2**32 - 1),
        ("uint64", 0, 2**64 - 1),
        ("bool", False, True),
    ],
)
def test_extreme_of_empty_set(kind: str, least: float, greatest: float) -> None:
    x = np.zeros((2, 0), kind)
    for op_type, expected in (("ReduceMax", least), ("ReduceMin", greatest)):
        result = call(op_type, x, 1)
        np.testing.assert_array_equal(result, np.full((2, 1), expected, kind))
        assert result.dtype == kind
        assert call(op_type, x.T, 1).shape == (0, 1)


BIG = np.array([[3, 2**63 + 5], [2**64 - 1, 7]], np.uint64)


def test_unsigned_order() -> None:
    np.testing.assert_array_equal(call("ReduceMax", BIG, 1), BIG.max(1, keepdims=True))
    np.testing.assert_array_equal(call("ReduceMin", BIG, 0), BIG.min(0, keepdims=True))
    np.testing.assert_array_equal(call("ArgMax", BIG, axis=1), [[1], [0]])
    np.testing.assert_array_equal(call("ArgMin", BIG, axis=0), [[0, 1]])


def test_unsigned_quotient_and_root() -> None:
    x = np.array([2**63, 2**63 - 1], np.uint64)
    assert call("ReduceMean", x, 0)[0] == (2**64 - 1) // 2
    assert call("ReduceL2", np.array([2**32 - 1], np.uint64), 0)[0] == 2**32 - 1
    assert call("ReduceLogSum", x, 0)[0] == 44


@pytest.mark.parametrize(
    ("op_type", "function"),
    [
        ("ReduceSum", np.sum),
        ("ReduceMean", np.mean),
        ("ReduceMax", np.max),
        ("ReduceL2", lambda x, **options: np.sqrt((x * x).sum(**options))),
        ("ReduceLogSumExp", lambda x, **options: np.log(np.exp(x).sum(**options))),
    ],
)
def test_bfloat16(op_type: str, function: Callable[..., np.ndarray]) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(ml_dtypes.bfloat16)
    result = call(op_type, x, 0, -1)
    assert dtype(result.dtype).name == "bfloat16"
    expected = function(x.astype(np.float64), axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(result.astype(np.float64), expected, rtol=2**-8, atol=2**-8)


@pytest.mark.parametrize("op_type", ["ReduceSum", "ReduceMax", "ReduceProd", "ReduceMean"])
def test_rank_0(op_type: str) -> None:
    assert call(op_type, np.array(-3.0)) == -3
    assert call(op_type, np.array(-3), noop_with_empty_axes=True) == -3


def test_no_reduction_still_computes() -> None:
    x = np.array([-1.0, 2.0])
    for op_type, expected in [
        ("ReduceSumSquare", [1, 4]), ("ReduceL1", [1, 2]), ("ReduceL2", [1, 2]),
        ("ReduceLogSum", [np.nan, np.log(2)]), ("ReduceLogSumExp", [-1, 2]),
    ]:  # fmt: skip
        np.testing.assert_array_equal(call(op_type, x, noop_with_empty_axes=True), expected)


def test_sums_wrap() -> None:
    x = np.array([2**31, 2**31, 5], np.uint32)
    assert call("ReduceSum", x, 0)[0] == 5
    assert call("ReduceProd", np.array([2**16, 2**16 + 1], np.int32), 0)[0] == 2**16


def test_large_exponents() -> None:
    x = torch.tensor([[1000.0, 1000.0], [-torch.inf, -torch.inf]])
    expected = torch.tensor([1000 + np.log(2), -np.inf], dtype=torch.float32)
    torch.testing.assert_close(reduce.reduce_log_sum_exp(x, (1,), keepdims=False), expected)


def gradient(function: Callable[[torch.Tensor], torch.Tensor], *x: float) -> list[float]:
    point = torch.tensor(x, dtype=torch.float32, requires_grad=True)
    function(point).backward()
    assert point.grad is not None
    return point.grad.tolist()


def test_gradients_at_kinks() -> None:
    flat = {"keepdims": False}
    assert gradient(lambda x: reduce.reduce_l2(x, **flat), 0, 0) == [0, 0]
    assert gradient(lambda x: reduce.reduce_l1(x, **flat), 0, -2) == [0, -1]
    assert gradient(lambda x: reduce.reduce_max(x, **flat), 1, 3, 3) == [0, 0.5, 0.5]
    assert gradient(lambda x: reduce.reduce_prod(x, **flat), 2, 0, 5) == [0, 10, 0]
    assert gradient(lambda x: reduce.reduce_prod(x, **flat), 0, 0, 5) == [0, 0, 0]


def test_cumulative_on_nothing() -> None:
    x = torch.zeros(2, 0)
    for exclusive in (True, False):
        assert reduce.cum_sum(x, 1, exclusive=exclusive, reverse=True).shape == (2, 0)


def test_exclusive_sum_keeps_infinities_apart() -> None:
    x = torch.tensor([1.0, torch.inf, 2.0])
    assert reduce.cum_sum(x, 0, exclusive=True).tolist() == [0, 1, torch.inf]
    assert reduce.cum_prod(x, -1, exclusive=True, reverse=True).tolist() == [torch.inf, 2, 1]
