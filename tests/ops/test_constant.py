"""Tensors out of nothing, where ONNX Runtime is silent."""

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch

from hetu.ops.ai_onnx.constant import constant_of_shape, eye_like, range_
from hetu.types import dtype
from tests.support.examples import Call
from tests.test_versions import build, run


def test_sparse_constant() -> None:
    values = onnx.numpy_helper.from_array(np.array([1.5, 2.5], np.float32), "values")
    indices = onnx.numpy_helper.from_array(np.array([[0, 2], [1, 0]]), "indices")
    sparse = onnx.helper.make_sparse_tensor(values, indices, [2, 3])
    model = build(Call([], {"sparse_value": sparse}), "", "Constant", 13)
    assert run(model, {})[0].tolist() == [[0, 0, 1.5], [2.5, 0, 0]]


@pytest.mark.parametrize("kind", [ml_dtypes.int4, ml_dtypes.float8_e5m2, np.uint16, np.float16])
def test_constant_of_shape(kind: type) -> None:
    value = np.array([1], np.float32).astype(kind)
    shape = np.array([2, 0, 3])
    for dims in (shape, shape[:1], shape[:0]):
        call = Call([dims], {"value": value})
        result = run(build(call, "", "ConstantOfShape", 25), {"x0": dims})[0]
        np.testing.assert_array_equal(result, np.full(dims, 1, np.float32).astype(kind))
        assert result.dtype == kind


def test_constant_of_shape_without_value() -> None:
    result = constant_of_shape((2, 1))
    assert result.dtype is torch.float32
    assert result.tolist() == [[0], [0]]


def test_range_accumulates_in_stash_type() -> None:
    start, limit, delta = torch.tensor([2048, 2054, 2], dtype=torch.float16)
    assert range_(start, limit, delta).tolist() == [2048, 2050, 2052]
    third = torch.tensor(1 / 3, dtype=torch.bfloat16)
    zero, ten = torch.tensor([0, 10], dtype=torch.bfloat16)
    expected = (np.arange(30) * np.float32(third.item())).astype(ml_dtypes.bfloat16)
    for stash_type in (1, 11):
        result = range_(zero, ten, third, stash_type=stash_type)
        assert result.dtype is torch.bfloat16
        np.testing.assert_array_equal(result.float(), expected.astype(np.float32))


def test_range_passes_gradient() -> None:
    start = torch.tensor(1.0, requires_grad=True)
    delta = torch.tensor(2.0, requires_grad=True)
    range_(start, torch.tensor(6.0), delta).sum().backward()
    assert start.grad is not None and start.grad.item() == 3
    assert delta.grad is not None and delta.grad.item() == 0 + 1 + 2


def test_eye_like() -> None:
    x = torch.zeros(2, 3, dtype=torch.uint32)
    assert eye_like(x, k=1).dtype is torch.uint32
    assert eye_like(x, dtype=dtype("bool"), k=-1).tolist() == [[False] * 3, [True, False, False]]
    assert eye_like(torch.zeros(0, 2)).shape == (0, 2)
