"""What the comparison with ONNX Runtime leaves out: opsets below 7, bfloat16, rare types."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from hetu.convert import to_numpy
from hetu.onnx import load_onnx
from hetu.ops.registry import find
from hetu.runtime.executor import Executor


def run(op_type: str, version: int, inputs: list[np.ndarray], **attributes: Any) -> np.ndarray:
    """The output of a model of one node."""
    names = [f"x{i}" for i in range(len(inputs))]
    node = onnx.helper.make_node(op_type, names, ["y"], **attributes)
    infos = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
        )
        for name, x in zip(names, inputs, strict=True)
    ]
    graph = onnx.helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name="y")])
    opsets = [onnx.helper.make_opsetid("", version)]
    model = load_onnx(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=4))
    executor = Executor(list(model.outputs.values()), inference=None)
    feeds = dict(zip(names, inputs, strict=True))
    return executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)[0]


SHAPE = (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("shape", "axis", "numpy_shape"),
    [
        ((), None, ()),
        ((1, 1), None, ()),
        ((5,), None, (5,)),
        ((4, 5), None, (4, 5)),
        ((3, 4), 1, (3, 4, 1)),
        ((2,), 0, (2, 1, 1, 1)),
        ((3, 4), -3, (3, 4, 1)),
    ],
)
@pytest.mark.parametrize(
    ("op_type", "function"),
    [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide)],
)
def test_broadcast_before_opset_7(
    op_type: str,
    function: Callable[..., np.ndarray],
    shape: tuple[int, ...],
    axis: int | None,
    numpy_shape: tuple[int, ...],
) -> None:
    random = np.random.default_rng(0)
    a = random.random(SHAPE, np.float32)
    b = random.random(shape, np.float32) + 1
    expected = function(a, np.reshape(b, numpy_shape))
    attributes = {"broadcast": 1} if axis is None else {"broadcast": 1, "axis": axis}
    actual = run(op_type, 6, [a, np.asarray(b)], **attributes)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_opset_1_hint_is_accepted() -> None:
    x = np.array([-1, 2], np.float32)
    assert run("Relu", 1, [x], consumed_inputs=[0]).tolist() == [0, 2]
    assert run("Clip", 1, [x], consumed_inputs=[0], max=1.0).tolist() == [-1, 1]
    np.testing.assert_allclose(
        run("Selu", 1, [x], consumed_inputs=[0]), [1.0507 * 1.6732 * np.expm1(-1), 2 * 1.0507], 1e-6
    )


def test_slope_per_channel_before_opset_7() -> None:
    x = np.full((2, 3, 4), -1, np.float32)
    expected = np.broadcast_to(np.array([[-1], [-2], [-3]], np.float32), x.shape)
    np.testing.assert_array_equal(run("PRelu", 6, [x, -expected[0, :, 0]]), expected)


def test_bounds_beyond_float16() -> None:
    x = np.array([-np.inf, -1, np.inf], np.float16)
    actual = run("Clip", 6, [x], min=0.0, max=3.4028234663852886e38)
    assert actual.tolist() == [0, 0, np.inf]


def test_slope_of_uint64() -> None:
    x = np.array([0, 1, 2**63, 2**64 - 1], np.uint64)
    np.testing.assert_array_equal(run("PRelu", 16, [x, np.array([7], np.uint64)]), x)


def test_exponent_of_unsigned_type() -> None:
    x, y = np.array([2, -3], np.int32), np.array([3, 2], np.uint16)
    actual = run("Pow", 15, [x, y])
    assert actual.dtype == np.int32 and actual.tolist() == [8, 9]
    assert run("Pow", 15, [x.astype(np.int64), y.astype(np.uint64)]).dtype == np.int64


BFLOAT16 = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Celu", "Cos", "Cosh",
    "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Hardmax", "LeakyRelu",
    "Log", "LogSoftmax", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign",
    "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
    "ThresholdedRelu", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum", "PRelu",
    "SwiGLU",
)  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", [(), (2, 0), (3, 4)], ids=str)
@pytest.mark.parametrize("op_type", BFLOAT16)
def test_small_floats(op_type: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    kernel = find("", op_type, 28)
    assert kernel is not None
    torch.manual_seed(0)
    low = 1.1 if op_type == "Acosh" else 0.1
    inputs = [(low + 0.8 * torch.rand(shape)).to(dtype) for _ in kernel.inputs or "ab"]
    actual = kernel.function(*inputs)
    expected = kernel.function(*(x.double() for x in inputs))
    assert actual.dtype == dtype
    step = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(actual.double(), expected, rtol=step, atol=step)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e5m2], ids=str)
def test_infinity_and_nan_of_small_floats(dtype: torch.dtype) -> None:
    x = to_numpy(torch.tensor([1, np.nan, np.inf, -np.inf]).to(dtype))
    assert run("IsNaN", 20, [x]).tolist() == [False, True, False, False]
    assert run("IsInf", 20, [x]).tolist() == [False, False, True, True]
    assert run("IsInf", 20, [x], detect_negative=0).tolist() == [False, False, True, False]
