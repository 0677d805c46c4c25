"""Quantized operators that ONNX Runtime's CPU build lacks; gradients through those that round."""

import numpy as np
import torch

from hetu.ops.registry import find

RNG = np.random.default_rng(0)


def run(op_type: str, *inputs: torch.Tensor | None, **attributes: object) -> torch.Tensor:
    kernel = find("com.microsoft", op_type, 1)
    assert kernel is not None
    return kernel.function(*inputs, **attributes)


def codes(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.integers(0, 256, shape).astype(np.uint8))


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value)


def test_reduce_mean() -> None:
    x = codes(2, 3, 4)
    zero, zero_out = torch.tensor(100, dtype=torch.uint8), torch.tensor(90, dtype=torch.uint8)
    y = run(
        "QLinearReduceMean", x, scalar(0.5), zero, scalar(0.3), zero_out, axes=(0, 2), keepdims=True
    )
    mean = ((x.numpy().astype(np.float32) - 100) * 0.5).mean((0, 2), keepdims=True)
    expected = np.clip(np.rint(mean / np.float32(0.3)) + 90, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(y, expected)


def test_mul_integer() -> None:
    a, b = codes(2, 3), codes(3)
    zero = torch.tensor(7, dtype=torch.uint8)
    expected = (a.numpy().astype(np.int32) - 7) * b.numpy().astype(np.int32)
    y = run("MulInteger", a, zero, b)
    assert y.dtype is torch.int32
    np.testing.assert_array_equal(y, expected)


def test_zero_points_may_be_left_out() -> None:
    """ONNX Runtime's type inference does not let them."""
    a, b = codes(2, 3), codes(3)
    y = run("QLinearAdd", a, scalar(0.5), None, b, scalar(0.25), None, scalar(2.0))
    exact = (a.numpy() * np.float32(0.5) + b.numpy() * np.float32(0.25)) / 2
    np.testing.assert_array_equal(y, np.rint(exact).astype(np.uint8))


def test_nhwc_conv() -> None:
    x, w, b = torch.randn(2, 5, 6, 4), torch.randn(6, 2, 3, 3), torch.randn(6)
    y = run("NhwcConv", x, w, b, group=2, pads=(1, 1, 1, 1), strides=(2, 1))
    inner = x.permute(0, 3, 1, 2)
    expected = torch.nn.functional.conv2d(inner, w, b, (2, 1), (1, 1), groups=2)
    torch.testing.assert_close(y, expected.permute(0, 2, 3, 1))


def test_nhwc_fused_conv() -> None:
    x, w, z = torch.randn(2, 5, 6, 4), torch.randn(6, 4, 1, 1), torch.randn(2, 5, 6, 6)
    y = run("NhwcFusedConv", x, w, None, z, activation="Relu")
    expected = torch.relu(x @ w[:, :, 0, 0].t() + z)
    torch.testing.assert_close(y, expected)


def test_gradient_of_dynamic_quantization() -> None:
    """It is that of the product with the weights as floats."""
    a = torch.randn(4, 6, requires_grad=True)
    b, scale = codes(6, 3), torch.rand(3)
    y = run("DynamicQuantizeMatMul", a, b, scale, torch.tensor(128, dtype=torch.uint8))
    y.sum().backward()
    weights = (b.float() - 128) * scale
    torch.testing.assert_close(a.grad, weights.sum(1).expand(4, 6))
    with torch.no_grad():
        plain = run("DynamicQuantizeMatMul", a, b, scale, torch.tensor(128, dtype=torch.uint8))
    assert torch.equal(y, plain)


def test_gradient_of_blocks() -> None:
    a = torch.randn(2, 20, dtype=torch.float64, requires_grad=True)
    b, scales = codes(3, 2, 8), torch.rand(3, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda a: run("MatMulNBits", a, b, scales, K=20, N=3, bits=4, block_size=16), a
    )


def test_omitted_product() -> None:
    b, bias = torch.zeros(3, 0, 8, dtype=torch.uint8), torch.randn(3)
    y = run("MatMulNBits", torch.randn(2, 20), b, torch.zeros(3, 0), None, None, bias,
            K=20, N=3, block_size=16)  # fmt: skip
    torch.testing.assert_close(y, bias.expand(2, 3))


def test_small_floats() -> None:
    """Scales of half precision give results of half precision."""
    x = codes(2, 3)
    scale = torch.tensor(0.25, dtype=torch.float16)
    y = run("DequantizeLinear", x, scale, torch.tensor(3, dtype=torch.uint8))
    assert y.dtype is torch.float16
    np.testing.assert_array_equal(y, (x.numpy().astype(np.float16) - 3) * np.float16(0.25))
