"""oneDNN's library computes what torch does, in any thread, from tensors that lie anywhere."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from hetu import onednn
from hetu.ops.native import ACTIVATIONS

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library is not there")

NUMBERS = {"Clip": (-0.5, 0.75), "LeakyRelu": (0.1,), "HardSigmoid": (0.3, 0.4)}


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["", *sorted(onednn.ACTIVATIONS)])
@pytest.mark.parametrize("shape", [(16,), (1, 16), (7, 16), (2, 3, 16)])
def test_products(shape: tuple[int, ...], activation: str) -> None:
    x, weight, numbers = random(*shape), random(24, 16) / 4, NUMBERS.get(activation, ())
    forms = (
        onednn.pack_linear(weight, 16), weight, weight.t().contiguous().t(),
        torch.stack([weight, weight], 2)[..., 0],
    )  # fmt: skip
    for form, has_bias, has_other in product(forms, (True, False), (True, False)):
        bias = random(24) if has_bias else None
        other = random(*shape[:-1], 24) if has_other else None
        expected = F.linear(x, weight, bias)
        expected = expected if other is None else expected + other
        actual = onednn.linear(x, form, bias, other, activation, numbers)
        assert_close(actual, ACTIVATIONS[activation][0](expected, *numbers))


def test_weights_packed_together() -> None:
    """Of all sizes, more than wait at a time, and where what they are for fails meanwhile."""
    sizes = [(1, 3), (24, 16), (2000, 3000), (2500, 2500), (3000, 2000), (700, 900)]
    weights = [random(*size) for size in sizes]
    with onednn.packed_together():
        forms = [onednn.pack_linear(weight, 16) for weight in weights]
    with pytest.raises(KeyError), onednn.packed_together():
        forms += [onednn.pack_row(weight) for weight in weights]
        raise KeyError
    for weight, form in zip(weights * 2, forms, strict=True):
        x = random(1, weight.shape[1]) / weight.shape[1]
        assert_close(onednn.linear(x, form), F.linear(x, weight))


GEOMETRIES: list[onednn.Geometry] = [
    ((1, 1, 1, 1), None, (1, 1), (1, 1), 1),
    ((0, 1, 2, 0), None, (2, 1), (1, 2), 1),
    ((1, 1, 1, 1), None, (1, 1), (1, 1), 2),
    ((1, 1, 1, 1), None, (2, 2), (1, 1), 8),
    ((1, 1, 1, 1), (0, 0), (1, 1), (1, 1), 1),
    ((1, 0, 1, 0), (1, 0), (2, 2), (1, 1), 1),
    ((0, 1, 0, 1), (0, 1), (2, 2), (1, 2), 2),
]


@pytest.mark.parametrize("activation", ["", *sorted(onednn.ACTIVATIONS)])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_convolutions(geometry: onednn.Geometry, activation: str) -> None:
    pads, extra, strides, dilations, groups = geometry
    numbers, is_transposed = NUMBERS.get(activation, ()), extra is not None
    x, weight = random(2, 8, 9, 10), random(8, 8 // groups, 3, 3) / 4
    form = onednn.pack_convolution(weight, geometry, (2, 8, 9, 10))
    for has_bias, has_other in product((True, False), (True, False)):
        bias = random(8) if has_bias else None
        if is_transposed:
            around = pads[:2]
            expected = F.conv_transpose2d(
                x, weight, bias, strides, around, extra or 0, groups, dilations
            )
        else:
            padded = F.pad(x, (pads[1], pads[3], pads[0], pads[2]))
            expected = F.conv2d(padded, weight, bias, strides, 0, dilations, groups)
        other = random(*expected.shape) if has_other else None
        expected = expected if other is None else expected + other
        actual = onednn.convolution(x, form, bias, other, geometry, activation, numbers)
        assert actual.is_contiguous(memory_format=torch.channels_last)
        assert_close(actual, ACTIVATIONS[activation][0](expected, *numbers))


def test_volumes() -> None:
    geometry = ((1,) * 6, None, (1, 1, 1), (1, 1, 1), 1)
    x, weight = random(2, 4, 5, 6, 7), random(6, 4, 3, 3, 3)
    form = onednn.pack_convolution(weight, geometry, tuple(x.shape))
    actual = onednn.convolution(x, form, None, None, geometry, "", ())
    assert_close(actual, F.conv3d(x, weight, None, 1, 1))


def test_products_of_turned_matrices() -> None:
    """Gradients of weights are such: nothing is copied."""
    gradient, x = random(7, 24), random(7, 16)
    assert_close(onednn.linear(gradient.t(), x.t()), gradient.t() @ x)
    row = random(24, 1)
    assert_close(onednn.linear(row.t(), random(16, 24)), row.t() @ random(16, 24).t())


def test_empty_batches() -> None:
    weight = onednn.pack_linear(random(3, 4), 16)
    assert onednn.linear(random(0, 4), weight).shape == (0, 3)


def test_many_threads_use_one_primitive() -> None:
    """Each run says anew where its tensors lie."""
    weight = random(64, 64)
    form = onednn.pack_linear(weight, 16)

    def compute(seed: int) -> bool:
        x = torch.randn(16, 64, generator=torch.Generator().manual_seed(seed))
        expected = F.linear(x, weight)
        return all(
            torch.allclose(onednn.linear(x, form), expected, rtol=1e-4, atol=1e-4)
            for _ in range(200)
        )

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(compute, range(16)))


def test_any_number_of_threads() -> None:
    x, weight, before = random(128, 256), random(256, 256), torch.get_num_threads()
    form, expected = onednn.pack_linear(weight, 16), F.linear(x, weight)
    try:
        for threads in (1, 3, before):
            torch.set_num_threads(threads)
            assert_close(onednn.linear(x, form) / 16, expected / 16)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("element", [torch.float64, torch.float16])
def test_other_types_are_refused(element: torch.dtype) -> None:
    form = onednn.pack_linear(random(8, 4), 16)
    with pytest.raises(RuntimeError, match="expected float32"):
        onednn.linear(random(2, 4).to(element), form)
    with pytest.raises(RuntimeError, match="expected float32"):
        onednn.linear(random(2, 4), form, random(8).to(element))


@pytest.mark.parametrize("part", ["x", "bias", "other"])
def test_other_shapes_are_refused(part: str) -> None:
    given = {"x": random(2, 4), "bias": random(8), "other": random(2, 8)}
    given[part] = random(*given[part].shape[:-1], 3)
    with pytest.raises(RuntimeError, match="where .* is needed"):
        onednn.linear(given["x"], onednn.pack_linear(random(8, 4), 16), *list(given.values())[1:])


@pytest.mark.parametrize("activation", ["", *sorted(onednn.ACTIVATIONS)])
@pytest.mark.parametrize("shape", [(16,), (1, 16), (1, 1, 16)])
def test_products_of_one_row(shape: tuple[int, ...], activation: str) -> None:
    x, weight, numbers = random(*shape), random(16, 16) / 4, NUMBERS.get(activation, ())
    packed = onednn.pack_row(weight)
    for has_bias, has_other in product((True, False), (True, False)):
        bias, other = (random(16) if has_bias else None), random(*shape) if has_other else None
        expected = F.linear(x, weight, bias)
        expected = expected if other is None else expected + other
        actual = onednn.linear(x, packed, bias, other, activation, numbers)
        assert_close(actual, ACTIVATIONS[activation][0](expected, *numbers))
