"""Shapes and layout where ONNX Runtime is silent: old versions, strings, half floats, gradients."""

from functools import partial

import numpy as np
import pytest
import torch

from hetu.errors import UsageError
from hetu.ops.ai_onnx.pad import pad, pad_1
from hetu.ops.ai_onnx.shape import concat_1, reshape, reshape_1, split_2, squeeze, tile_1
from hetu.types import DTYPES
from tests.support.examples import Call
from tests.test_versions import build, run


def result(op_type: str, version: int, *inputs: np.ndarray, **attributes: object) -> object:
    feeds = {f"x{i}": x for i, x in enumerate(inputs)}
    return run(build(Call(inputs, attributes), "", op_type, version), feeds)[0]


def test_padded_strings() -> None:
    x, pads = np.array(["b", "a"], object), np.array([1, 2])
    assert result("Pad", 25, x, pads).tolist() == ["", "b", "a", "", ""]
    filled = result("Pad", 25, x, pads, np.array("z", object))
    assert filled.tolist() == ["z", "b", "a", "z", "z"]
    assert result("Pad", 25, x, pads, mode="wrap").tolist() == ["a", "b", "a", "b", "a"]
    assert result("CenterCropPad", 18, x, np.array([3])).tolist() == ["b", "a", ""]


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_blocks_of_images_without_elements(mode: str) -> None:
    for batch, height in ((0, 4), (2, 0)):
        x = np.zeros((batch, 3, height, 6), np.float32)
        y = np.asarray(result("SpaceToDepth", 28, x, blocksize=2, mode=mode))
        assert y.shape == (batch, 12, height // 2, 3)
        assert np.shape(result("DepthToSpace", 28, y, blocksize=2, mode=mode)) == x.shape


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int16])
@pytest.mark.parametrize("rank", range(1, 7))
def test_pad_modes(mode: str, dtype: torch.dtype, rank: int) -> None:
    """Against numpy, on the last axes, where torch has kernels of its own, and on all."""
    x = torch.arange(3**rank).reshape((3,) * rank).to(dtype)
    for axes in (tuple(range(rank)), tuple(range(rank))[2:], (rank - 1,)):
        widths = [(1, 2) if axis in axes else (0, 0) for axis in range(rank)]
        pads = (1,) * len(axes) + (2,) * len(axes)
        expected = np.pad(x.double().numpy(), widths, mode=mode)
        np.testing.assert_array_equal(pad(x, pads, None, axes, mode=mode).double(), expected)


def test_pad_repeats_more_than_once() -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    for mode in ("reflect", "wrap"):
        expected = np.pad(x.numpy(), (7, 8), mode=mode)
        np.testing.assert_array_equal(pad(x, (7, 8), mode=mode), expected)


def test_pad_constant_passes_gradient() -> None:
    x, value = torch.ones(2, requires_grad=True), torch.tensor(5.0, requires_grad=True)
    y = pad(x, (2, -1), value)
    assert y.tolist() == [5, 5, 1]
    y.sum().backward()
    assert value.grad is not None and value.grad.item() == 2
    assert x.grad is not None and x.grad.tolist() == [1, 0]


def test_pad_keeps_large_integers() -> None:
    value = torch.tensor(2**62 + 1)
    assert pad(torch.zeros(1, dtype=torch.int64), (1, 0), value).tolist() == [2**62 + 1, 0]


def test_pad_counts_pads() -> None:
    with pytest.raises(UsageError, match="2 axes need 4 pads, not 2"):
        pad(torch.ones(2, 2), (1, 1))


def test_squeeze_refuses_larger_axes() -> None:
    with pytest.raises(UsageError, match="are not all of size 1"):
        squeeze(torch.ones(1, 2), (0, 1))


def test_old_versions() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert reshape_1(x, shape=(0, 1, -1)).shape == (2, 1, 3)
    assert concat_1(x, x).shape == (2, 6)
    assert tile_1(x, 2, 1).tolist() == [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5]]
    assert [part.shape[1] for part in split_2(x, axis=1, n_outputs=3)] == [1, 1, 1]
    padded = pad_1(x, paddings=(0, 1, 0, 0), value=9.0)
    assert padded.tolist() == [[9, 0, 1, 2], [9, 3, 4, 5]]


def test_split_of_nothing() -> None:
    parts = split_2(torch.ones(0, 2), n_outputs=2)
    assert [tuple(part.shape) for part in parts] == [(0, 2), (0, 2)]


@pytest.mark.parametrize("element", [np.uint16, np.int64, *(d.numpy for d in DTYPES[16:])], ids=str)
def test_layout_of_every_stored_type(element: np.dtype) -> None:
    x = np.array([[1, 0.5, 1], [0.5, 1, 1]], np.float32).astype(element)
    np.testing.assert_array_equal(result("Transpose", 25, x), x.T)
    np.testing.assert_array_equal(result("Reshape", 25, x, np.array([-1])), x.reshape(-1))
    np.testing.assert_array_equal(result("Identity", 25, x), x)
    assert result("Shape", 25, x).tolist() == [2, 3]
    assert result("Size", 25, x).tolist() == 6


def test_sequences_that_become_one_image() -> None:
    """torch's kernels see by the strides that channels lie side by side."""
    words = torch.randn(1, 12, 5, dtype=torch.float64, requires_grad=True)
    for shape in ((1, 5, 3, 4), (-1, 5, 4, 3), (0, 0, 3, 4)):
        image = reshape(words.transpose(1, 2), shape)
        assert torch.equal(image, words.transpose(1, 2).contiguous().view(image.shape))
        assert image.stride()[0] == 60 and image.stride()[1] == 1
    make = partial(reshape, shape=(1, 5, 3, 4))
    assert torch.autograd.gradcheck(lambda x: make(x.transpose(1, 2)), [words])
    for other in (torch.zeros(1, 5, 12), torch.zeros(1, 5, 24)[..., ::2], torch.zeros(60)):
        assert torch.equal(make(other), torch.zeros(1, 5, 3, 4))
    assert make(np.full((5, 12), "a", object)).shape == (1, 5, 3, 4)
