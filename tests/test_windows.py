"""Convolution and pooling over more axes than torch has them for."""

import torch

from hetu.ops import windows as win
from hetu.ops.ai_onnx.conv import conv, conv_transpose
from hetu.ops.ai_onnx.pool import average_pool, lp_pool, max_pool


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_fold_is_the_adjoint_of_columns() -> None:
    windows = win.place((5, 6), (2, 3), (2, 1), (1, 2))
    x, columns = random(2, 3, 5, 6), random(2, 3, 6, 4)
    folded = (win.fold(columns, windows) * x).sum()
    torch.testing.assert_close(folded, (win.columns(x, windows) * columns).sum())


def test_conv_over_four_axes() -> None:
    x, w, b = random(2, 4, 3, 4, 4, 4), random(6, 2, 1, 2, 2, 2), random(6)
    pads, strides, dilations = (1, 0, 1, 0, 1, 1), (2, 1, 1), (1, 2, 1)
    y = conv(
        x, w, b, group=2, pads=(0, 1, 0, 1, 0, 0, 1, 1), strides=(1, *strides),
        dilations=(1, *dilations),
    )  # fmt: skip
    layers = [
        conv(layer, w[:, :, 0], b, group=2, pads=pads, strides=strides, dilations=dilations)
        for layer in x.unbind(2)
    ]
    torch.testing.assert_close(y, torch.stack(layers, 2))


def test_conv_transpose_over_four_axes_is_the_adjoint_of_conv() -> None:
    x, w = random(2, 4, 2, 3, 3, 3), random(4, 3, 2, 2, 1, 2)
    y = conv_transpose(x, w, group=2, strides=(2, 1, 1, 2))
    other = random(*y.shape)
    back = conv(other, w, group=2, strides=(2, 1, 1, 2))
    torch.testing.assert_close((y * other).sum(), (x * back).sum())


def test_pools_over_four_axes() -> None:
    x = random(2, 3, 4, 4, 4)
    kernel, pads = (2, 2, 2), (1, 0, 0, 0, 0, 1)
    over_four = {"kernel_shape": (1, *kernel), "pads": (0, *pads[:3], 0, *pads[3:])}
    over_three = {"kernel_shape": kernel, "pads": pads}
    for pool in (average_pool, lp_pool):
        torch.testing.assert_close(pool(x[:, :, None], **over_four)[:, :, 0], pool(x, **over_three))
    y, indices = max_pool(x[:, :, None], **over_four, n_outputs=2)
    expected, expected_indices = max_pool(x, **over_three, n_outputs=2)
    torch.testing.assert_close(y[:, :, 0], expected)
    torch.testing.assert_close(indices[:, :, 0], expected_indices)


def test_lp_pool_of_zeros_has_a_gradient() -> None:
    x = torch.zeros(1, 1, 4, 4, requires_grad=True)
    lp_pool(x, kernel_shape=(2, 2)).sum().backward()
    torch.testing.assert_close(x.grad, torch.zeros_like(x))
