"""Gradients through quantization: the straight-through estimator, against torch's own."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import parser

import hetu as ht
from tests.test_versions import options

HEADER = """<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1, "f" : 1]>"""
RANDOM = np.random.default_rng(0)


def load(text: str, **weights: Any) -> ht.onnx.LoadedModel:
    proto = parser.parse_model(HEADER + text)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options())
    model = ht.onnx.load_onnx(proto, **weights)
    model.session = session  # pyright: ignore
    return model


def check(text: str, expected: Any, *arrays: np.ndarray) -> None:
    """Results are ONNX Runtime's, with gradients too, and the gradients those of `expected`."""
    model = load(text)
    xs, (y,) = list(model.inputs.values()), model.outputs.values()
    shape = expected(*map(torch.tensor, arrays)).shape
    seed = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    grads = ht.gradients(y, xs, insert_grad=ht.constant(seed))
    feeds = dict(zip(model.inputs, arrays, strict=True))
    result, *ours = ht.Executor([y, *grads]).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    theirs = model.session.run(None, feeds)[0]  # pyright: ignore
    np.testing.assert_allclose(result, theirs, rtol=1e-6)
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    theirs = torch.autograd.grad(expected(*leaves), leaves, torch.tensor(seed))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def fake(x: torch.Tensor, scale: float, zero: int, low: int = 0, high: int = 255) -> torch.Tensor:
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, low, high)


def floats(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (RANDOM.standard_normal(shape) * scale).astype(np.float32)


CONSTANTS = """<float s = {0.05}, uint8 z = {100}, float t = {0.1}, uint8 v = {3},
    float[3] c = {0.0113, 0.0197, 0.0311}, int8[3] n = {0, 0, 0}>"""


def test_operators_between_that_only_move_numbers() -> None:
    """One quantized tensor, dequantized twice: after a pooling, and after a transposition."""
    text = f"""g (float[1,2,4,4] x) => (float[1,8,1,4] y) {CONSTANTS} {{
        q = QuantizeLinear (x, s, z)
        pooled = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (q)
        a = DequantizeLinear (pooled, s, z)
        shape = Constant <value_ints = [1, 8, 4]> ()
        moved = Transpose <perm = [0, 2, 1, 3]> (q)
        flat = Reshape (moved, shape)
        b = DequantizeLinear (flat, s, z)
        axes = Constant <value_ints = [2]> ()
        wide = Unsqueeze (b, axes)
        size = Constant <value_ints = [1, 8, 1, 1]> ()
        narrow = Reshape (a, size)
        y = Mul (wide, narrow)
    }}"""

    def expected(x: torch.Tensor) -> torch.Tensor:
        f = fake(x, 0.05, 100)
        pooled = torch.nn.functional.max_pool2d(f, 2)
        return f.transpose(1, 2).reshape(1, 8, 1, 4) * pooled.reshape(1, 8, 1, 1)

    check(text, expected, floats(1, 2, 4, 4, scale=6))


def test_weights_of_several_scales_in_a_function_in_a_loop() -> None:
    text = f"""g (float[2,3] x, float[3,3] w) => (float[2,3] y) {CONSTANTS} {{
        n_steps = Constant <value_int = 2> ()
        y = Loop <body = step (int64 i, bool going, float[2,3] before)
                => (bool on, float[2,3] after) {{
            on = Identity (going)
            a = f.rounded <axis = 1> (before, s, z)
            b = f.rounded <axis = 0> (w, c, n)
            after = MatMul (a, b)
        }}> (n_steps, , x)
    }}
    <domain: "f", opset_import: ["" : 21]>
    rounded <axis> (x, scale, zero) => (y) {{
        q = QuantizeLinear <axis: int = @axis> (x, scale, zero)
        y = DequantizeLinear <axis: int = @axis> (q, scale, zero)
    }}"""

    def expected(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        scales, zeros = torch.tensor([0.0113, 0.0197, 0.0311]), torch.zeros(3, dtype=torch.int32)
        for _ in range(2):
            rounded = torch.fake_quantize_per_channel_affine(w, scales, zeros, 0, -128, 127)
            x = fake(x, 0.05, 100) @ rounded
        return x

    check(text, expected, floats(2, 3, scale=5), floats(3, 3))


def test_of_com_microsoft() -> None:
    text = f"""g (float[4,5] x) => (float[4,5] y) {CONSTANTS} {{
        q = com.microsoft.QuantizeLinear (x, s, z)
        y = com.microsoft.DequantizeLinear (q, s, z)
    }}"""
    check(text, lambda x: fake(x, 0.05, 100), floats(4, 5, scale=5))


def test_products_of_quantized_numbers() -> None:
    """Activations carry gradients from one to the next; 8-bit weights have none."""
    text = """g (float[2,3] x) => (float[2,2] y)
    <float s = {0.05}, uint8 z = {100}, float t = {0.1}, uint8 v = {3}, float r = {0.02},
     int8[3,2] w = {-20, 30, 40, -50, 60, 9}, int8 o = {1}, int8[2,2] u = {7, 8, -9, 60}> {
        q = QuantizeLinear (x, s, z)
        p = QLinearMatMul (q, s, z, w, r, o, t, v)
        a = com.microsoft.QLinearLeakyRelu <alpha = 0.1> (p, t, v, t, v)
        c = com.microsoft.QLinearAdd (a, t, v, p, t, v, s, z)
        y = DequantizeLinear (c, s, z)
    }"""

    def expected(x: torch.Tensor) -> torch.Tensor:
        w = (torch.tensor([[-20.0, 30], [40, -50], [60, 9]]) - 1) * 0.02
        p = fake(fake(x, 0.05, 100) @ w, 0.1, 3)
        a = fake(torch.nn.functional.leaky_relu(p, 0.1), 0.1, 3)
        return fake(a + p, 0.05, 100)

    check(text, expected, floats(2, 3, scale=4))


def test_convolutions_of_quantized_numbers() -> None:
    text = """g (float[1,2,5,5] x) => (float[1,3,4,4] y)
    <float s = {0.05}, uint8 z = {100}, float t = {0.1}, uint8 v = {30},
     float[3] c = {0.0113, 0.0197, 0.0311}, int8[3] n = {0, 0, 0}, int32[3] b = {1000, -500, 0}> {
        shape = Constant <value_ints = [3, 2, 2, 2]> ()
        numbers = Constant <value_ints = [9, -7, 80, 5, -60, 4, 30, 2, 1, 1, 50, -90, 8, 3, 20, -4,
                                          11, 70, -30, 6, 90, -15, 3, 25]> ()
        shaped = Reshape (numbers, shape)
        w = Cast <to = 3> (shaped)
        q = QuantizeLinear (x, s, z)
        p = QLinearConv (q, s, z, w, c, n, t, v, b)
        y = DequantizeLinear (p, t, v)
    }"""
    numbers = [9, -7, 80, 5, -60, 4, 30, 2, 1, 1, 50, -90, 8, 3, 20, -4]
    numbers += [11, 70, -30, 6, 90, -15, 3, 25]

    def expected(x: torch.Tensor) -> torch.Tensor:
        scales = torch.tensor([0.0113, 0.0197, 0.0311])
        w = torch.tensor(numbers).reshape(3, 2, 2, 2) * scales.reshape(3, 1, 1, 1)
        bias = torch.tensor([1000.0, -500, 0]) * scales * 0.05
        return fake(torch.nn.functional.conv2d(fake(x, 0.05, 100), w, bias), 0.1, 30)

    check(text, expected, floats(1, 2, 5, 5, scale=4))


@pytest.mark.parametrize("kind", ["MatMulInteger", "ConvInteger"])
def test_dynamic_quantization(kind: str) -> None:
    """Scale and zero point follow the input; for the gradient they are settings."""
    shape = "2,3" if kind == "MatMulInteger" else "1,3,4"
    result = "2,2" if kind == "MatMulInteger" else "1,2,4"
    weight = "int8[3,2]" if kind == "MatMulInteger" else "int8[2,3,1]"
    text = f"""g (float[{shape}] x) => (float[{result}] y)
    <{weight} w = {{-20, 30, 40, -50, 60, 9}}, int8 o = {{0}}, float r = {{0.02}}> {{
        q, s, z = DynamicQuantizeLinear (x)
        sums = {kind} (q, w, z, o)
        numbers = Cast <to = 1> (sums)
        scale = Mul (s, r)
        y = Mul (numbers, scale)
    }}"""

    def expected(x: torch.Tensor) -> torch.Tensor:
        low, high = min(x.min().item(), 0), max(x.max().item(), 0)
        scale = (high - low) / 255
        f = fake(x, scale, round(-low / scale))
        w = torch.tensor([-20.0, 30, 40, -50, 60, 9]) * 0.02
        if kind == "MatMulInteger":
            return f @ w.reshape(3, 2)
        return torch.nn.functional.conv1d(f, w.reshape(2, 3, 1))

    check(text, expected, floats(*map(int, shape.split(","))))


def test_scales_that_are_selected_are_learned() -> None:
    text = """g (float[40] x) => (float[40] y) <float[1] s = {0.05}, uint8[1] z = {100}> {
        q = QuantizeLinear <axis = 0> (x, s, z)
        y = DequantizeLinear <axis = 0> (q, s, z)
    }"""
    model = load(text)
    assert not model["s"].trainable
    x, (gradient,) = floats(40, scale=5), ht.gradients(model["y"], [model["s"]])
    (ours,) = ht.Executor([gradient]).run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
    scale = torch.tensor([0.05], requires_grad=True)
    learned = torch._fake_quantize_learnable_per_tensor_affine(
        torch.tensor(x), scale, torch.tensor([100.0]), 0, 255
    )
    learned.sum().backward()
    assert scale.grad is not None
    np.testing.assert_allclose(ours, scale.grad, rtol=1e-4)


def test_quantized_results_are_integers_in_training_too() -> None:
    text = f"""g (float[4,5] x) => (uint8[5,4] q, int8[4] r, float[4,5] y) {CONSTANTS} {{
        codes = QuantizeLinear (x, s, z)
        q = Transpose (codes)
        y = DequantizeLinear (codes, s, z)
        sums = ReduceSum <keepdims = 0> (x, one)
        one = Constant <value_ints = [1]> ()
        r = QuantizeLinear <output_dtype = 3> (sums, s)
    }}"""
    proto = parser.parse_model(HEADER + text)
    model = ht.onnx.load_onnx(proto)
    (gradient,) = ht.gradients(model["y"], [model["x"]])
    x = floats(4, 5, scale=3)
    q, r, _ = ht.Executor([model["q"], model["r"], gradient]).run(
        feed_dict={"x": x}, convert_to_numpy_ret_vals=True
    )
    assert (q.dtype, r.dtype) == (np.uint8, np.int8)
    np.testing.assert_array_equal(q, np.clip(np.round(x / np.float32(0.05)) + 100, 0, 255).T)
