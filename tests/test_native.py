"""torch's private operators compute what the public ones do, wherever their operands lie."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

import hetu as ht
from hetu import onednn
from hetu.ops import native

GEOMETRY = (1, 1, 1, 1), None, (1, 1), (1, 1), 1


@pytest.fixture(autouse=True, params=["library", "torch"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN in its own library, and in torch."""
    if request.param == "torch":
        monkeypatch.setattr(onednn, "is_available", lambda: False)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + shape[-1]))


def placed(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Tensors of this shape: dense, with gaps, with axes exchanged, and one number expanded."""
    yield tensor
    spread = torch.full([2 * size for size in tensor.shape], torch.nan)
    part = spread[(slice(None, None, 2),) * tensor.ndim]
    part.copy_(tensor)
    yield part
    yield tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor
    yield tensor[(slice(0, 1),) * tensor.ndim].expand(tensor.shape)


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("operand", ["x", "bias", "other"])
def test_products(operand: str, packs: bool) -> None:
    operands = {"x": random(16, 512), "bias": random(256), "other": random(16, 256)}
    weight = random(256, 512) / 16
    taken = native.pack_linear(weight) if packs else weight
    for variant in placed(operands[operand]):
        given = {**operands, operand: variant}
        x, bias, other = given["x"], given["bias"], given["other"]
        expected = F.linear(x, weight, bias)
        assert_close(native.linear(x, taken, bias, ""), expected)
        assert_close(native.linear_plus(x, other, taken, bias), expected + other)


@pytest.mark.parametrize("operand", ["x", "bias", "other"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_products_of_one_row(operand: str, rank: int) -> None:
    ones = (1,) * (rank - 1)
    operands = {"x": random(*ones, 512), "bias": random(256), "other": random(*ones, 256)}
    for weight in placed(random(256, 512) / 16):
        for variant in placed(operands[operand]):
            given = {**operands, operand: variant}
            x, bias, other = given["x"], given["bias"], given["other"]
            taken = native.pack_for_row(weight)
            assert_close(native.linear(x, taken, None, "Relu"), torch.relu(F.linear(x, weight)))
            expected = F.linear(x, weight, bias)
            assert_close(native.linear(x, taken, bias, ""), expected)
            assert_close(native.linear_plus(x, other, taken, bias), expected + other)


@pytest.mark.parametrize("threads", [1, 3, 4])
def test_rows_are_shared_by_any_number_of_threads(threads: int) -> None:
    x, weight, before = random(1, 512), random(250, 512), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        taken = native.pack_for_row(weight)
    finally:
        torch.set_num_threads(before)
    assert_close(native.linear(x, taken, None, ""), F.linear(x, weight))


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("operand", ["x", "bias", "other"])
def test_convolutions(operand: str, packs: bool) -> None:
    operands = {"x": random(2, 8, 12, 12), "bias": random(16), "other": random(2, 16, 12, 12)}
    weight = random(16, 8, 3, 3) / 8
    taken = native.pack_convolution(weight, GEOMETRY, (2, 8, 12, 12)) if packs else weight
    for variant in placed(operands[operand]):
        given = {**operands, operand: variant}
        x, bias, other = given["x"], given["bias"], given["other"]
        expected = F.conv2d(x, weight, bias, 1, 1)
        assert_close(native.convolution(x, taken, bias, GEOMETRY, "", None), expected)
        summed = native.convolution(x, taken, bias, GEOMETRY, "Relu", other)
        assert_close(summed, torch.relu(expected + other))


def test_convolutions_of_images_of_unknown_size() -> None:
    """Weights are packed for images that have room for a window."""
    x, weight, geometry = (
        random(1, 3, 1, 200),
        random(4, 3, 1, 128) / 8,
        ((0,) * 4, None, (1, 1), (1, 1), 1),
    )
    taken = native.pack_convolution(weight, geometry, None)
    assert_close(native.convolution(x, taken, None, geometry, ""), F.conv2d(x, weight))


def test_a_bias_that_a_graph_expands() -> None:
    """Exporters write one number, expanded, for the bias that a normalization leaves over."""
    x = ht.Variable(name="x", dtype="float32")
    w = ht.Variable(name="w", value=random(256, 512).numpy())
    number = ht.Variable(name="number", value=np.float32([3]))
    y = ht.op.Gemm(x, w, ht.op.Expand(number, np.int64([256])), transB=1)
    executor = ht.Executor([y])
    a = random(64, 512).numpy()
    for _ in range(3):
        (result,) = executor.run(feed_dict={x: a}, convert_to_numpy_ret_vals=True)
        np.testing.assert_allclose(result, a @ random(256, 512).numpy().T + 3, rtol=1e-3, atol=1e-3)
    assert any(note.fusion == "linear" and not note.reason for note in executor.explain())
