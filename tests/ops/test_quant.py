"""Quantization to the types that ONNX Runtime does not give to Python, and through it."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hetu.api.gradients import gradients
from hetu.onnx import load_onnx
from hetu.runtime.executor import Executor
from tests.test_versions import options

FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
INTEGERS = ("int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2")
X = np.concatenate([np.linspace(-70, 70, 113), [1e9, -1e9]]).astype(np.float32)
SCALE = 0.5


def there_and_back(element: str, zero_point: float = 0, **attributes: Any) -> onnx.ModelProto:
    """A model that quantizes `x` and dequantizes the result."""
    number = np.dtype(getattr(ml_dtypes, element, None) or element)
    tensors = [
        onnx.numpy_helper.from_array(np.array(SCALE, np.float32), "scale"),
        onnx.numpy_helper.from_array(np.array(zero_point).astype(number), "zero"),
    ]
    nodes = [
        onnx.helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], **attributes),
        onnx.helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    info = onnx.helper.make_tensor_value_info("x", 1, [None])
    result = onnx.helper.make_tensor_value_info("y", 1, [None])
    graph = onnx.helper.make_graph(nodes, "pair", [info], [result], tensors)
    opsets = [onnx.helper.make_opsetid("", 25)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=13)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    loaded = load_onnx(model)
    executor = Executor(list(loaded.outputs.values()), inference=None)
    return executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)[0]


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("element", FLOAT8)
def test_float8(element: str, saturate: int) -> None:
    """Between its largest E5M2 and the next power of two, ONNX Runtime makes NaN, not infinity."""
    x = np.concatenate([X * s for s in (0.01, 1, 3.3, 400)]).astype(np.float32)
    model = there_and_back(element, saturate=saturate)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options())
    np.testing.assert_array_equal(run(model, x), session.run(None, {"x": x})[0])


@pytest.mark.parametrize("zero_point", [0, 1])
@pytest.mark.parametrize("element", INTEGERS)
def test_integers(element: str, zero_point: int) -> None:
    model = there_and_back(element, zero_point)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options())
    np.testing.assert_array_equal(run(model, X), session.run(None, {"x": X})[0])


def test_float4() -> None:
    """ONNX Runtime has no kernel for it on the CPU."""
    expected = (X / SCALE).astype(ml_dtypes.float4_e2m1fn).astype(np.float32) * SCALE
    np.testing.assert_array_equal(run(there_and_back("float4_e2m1fn"), X), expected)


def test_gradient_passes_where_nothing_is_clipped() -> None:
    loaded = load_onnx(there_and_back("int8", 3))
    (x,), (y,) = loaded.inputs.values(), loaded.outputs.values()
    (gradient,) = gradients(y * y, [x])
    ours, result = Executor([gradient, y]).run(feed_dict={x: X}, convert_to_numpy_ret_vals=True)

    tx = torch.tensor(X, requires_grad=True)
    ty = torch.fake_quantize_per_tensor_affine(tx, SCALE, 3, -128, 127)
    (ty * ty).sum().backward()
    np.testing.assert_array_equal(result, ty.detach())
    np.testing.assert_array_equal(ours, tx.grad)
