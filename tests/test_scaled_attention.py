"""Attention in oneDNN's library: the softmax and the products in float64."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hetu as ht
from hetu import onednn
from hetu.ops import native, scaled_attention
from hetu.ops.com_microsoft import multi_head
from hetu.ops.scaled_attention import scaled_attention as attend

pytestmark = pytest.mark.skipif(
    not (onednn.is_available() and native.has_wide_products()), reason="the library is not faster"
)

INFINITY = float("inf")


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Attention goes to the library; whether it took each call."""
    took: list[bool] = []
    by_library = scaled_attention._by_library

    def noted(*arguments: object) -> torch.Tensor | None:
        result = by_library(*arguments)
        took.append(result is not None)
        return result

    monkeypatch.setattr(scaled_attention, "suits_library", lambda _: True)
    monkeypatch.setattr(scaled_attention, "_by_library", noted)
    return took


def random(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(len(shape)).normal(size=shape)).float()


def inputs(batch: int, heads: int, length: int, size: int, keys: int = 0, values: int = 0):
    """Queries, keys and values as a projection leaves them, (batch, length, heads, size)."""
    shapes = (length, size), (keys or length, size), (keys or length, values or size)
    parts = (random(batch, rows, heads, columns) for rows, columns in shapes)
    return [x.transpose(1, 2) for x in parts]


def wanted(q, k, v, mask=None, scale=None, is_causal=False) -> torch.Tensor:
    q, k, v = (x.double() for x in (q, k, v))
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, -INFINITY)
    elif mask is not None:
        scores = scores + mask.double()
    return scores.softmax(-1) @ v


def check(q, k, v, mask=None, scale=None, is_causal=False) -> None:
    """Scores are sums of some dozens of products of size 1: some units in the last place of 8."""
    y = attend(q, k, v, mask, scale=scale, is_causal=is_causal)
    reference = wanted(q, k, v, mask, scale, is_causal)
    torch.testing.assert_close(y.double(), reference, rtol=1e-5, atol=5e-6)


SIZES = {
    "a sentence": (1, 12, 128, 64),
    "sentences": (5, 12, 128, 64),
    "odd": (3, 7, 61, 33),
    "windows": (70, 3, 49, 32),
    "one head": (2, 1, 200, 64),
    "heads in turns": (2, 6, 400, 32),
    "queries in turns": (1, 3, 1100, 16),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("is_causal", [False, True])
def test_sizes(size: tuple[int, ...], is_causal: bool, library: list[bool]) -> None:
    check(*inputs(*size), is_causal=is_causal)
    assert library == [True]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", ["keys", "queries", "heads", "shared heads", "whole", "repeated"])
@pytest.mark.parametrize("is_boolean", [False, True])
def test_masks(size, kind: str, is_boolean: bool, library: list[bool]) -> None:
    batch, heads, length, _ = size
    shape = {
        "keys": (batch, 1, 1, length), "queries": (batch, 1, length, length),
        "heads": (batch, heads, 1, length), "shared heads": (1, heads, length, length),
        "whole": (batch, heads, length, length), "repeated": (batch, 1, length, 1),
    }[kind]  # fmt: skip
    mask = 3 * random(*shape)
    if is_boolean:
        mask = mask > -3
        mask[..., 0] = True
    check(*inputs(*size), mask.expand(batch, -1, length, length) if kind == "repeated" else mask)
    assert library == [True]


@pytest.mark.parametrize("ndim", [2, 3])
def test_masks_of_fewer_dimensions(ndim: int, library: list[bool]) -> None:
    check(*inputs(2, 4, 64, 32), random(*(4, 64, 64)[3 - ndim :]))
    assert library == [True]


@pytest.mark.parametrize(("keys", "values"), [(70, 0), (300, 48), (40, 8)])
@pytest.mark.parametrize("is_causal", [False, True])
def test_other_lengths_and_sizes(keys: int, values: int, is_causal: bool) -> None:
    check(*inputs(2, 4, 50, 32, keys, values), scale=0.3, is_causal=is_causal)


@pytest.mark.parametrize("is_causal", [False, True])
def test_shared_heads_of_keys(is_causal: bool, library: list[bool]) -> None:
    q, k, v = inputs(2, 8, 80, 32)
    check(q, k[:, :2], v[:, :2], is_causal=is_causal)
    assert library == [True]


def test_layouts(library: list[bool]) -> None:
    q, k, v = inputs(2, 8, 80, 32)
    check(q.contiguous(), k.transpose(-1, -2).contiguous().transpose(-1, -2), v)
    check(torch.cat([q, k, v], -1)[..., :32], k.repeat(1, 1, 1, 2)[..., ::2], v[:1].expand_as(v))
    assert library == [True] * 2


def test_masks_that_leave_little(library: list[bool]) -> None:
    q, k, v = inputs(2, 4, 96, 32)
    lowest = torch.finfo(torch.float32).min
    mask = torch.zeros(2, 1, 96, 96)
    mask[..., 5:] = -INFINITY
    check(q, k, v, mask)
    mask[..., 5:] = lowest
    check(q, k, v, mask)
    y = attend(q, k, v, torch.full((2, 1, 1, 96), lowest))
    torch.testing.assert_close(y, v.mean(2, keepdim=True).expand_as(y), rtol=1e-5, atol=1e-5)
    assert library == [True] * 3


def test_what_is_no_number_stays_in_its_rows(library: list[bool]) -> None:
    q, k, v = inputs(2, 4, 96, 32)
    q[1, 2, 3, 4] = torch.nan
    y = attend(q, k, v)
    assert y[1, 2, 3].isnan().all() and y.isnan().any(-1).sum() == 1
    mask = torch.zeros(2, 4, 96, 96)
    mask[0, 1, 7] = torch.nan
    y = attend(k, k, v, mask)
    assert y[0, 1, 7].isnan().all() and y.isnan().any(-1).sum() == 1
    assert library == [True] * 2


def test_queries_that_see_nothing_are_torchs(library: list[bool]) -> None:
    q, k, v = inputs(2, 4, 96, 32)
    mask = torch.zeros(2, 1, 96, 96)
    mask[:, :, 3] = -INFINITY
    y = attend(q, k, v, mask, has_empty=True)
    assert not library and not y[:, :, 3].any()


def test_masks_of_which_it_is_not_known(library: list[bool]) -> None:
    q, k, v = inputs(2, 4, 96, 32)
    mask = torch.zeros(2, 1, 96, 96)
    y = attend(q, k, v, mask, has_empty=None)
    torch.testing.assert_close(y.double(), wanted(q, k, v, mask), rtol=1e-5, atol=5e-6)
    mask[:, :, 3] = -INFINITY
    y = attend(q, k, v, mask, has_empty=None)
    assert library == [True, False] and not y[:, :, 3].any()


def test_tensors_without_elements_in_memory() -> None:
    q, k, v = (x.to("meta") for x in inputs(2, 4, 96, 32))
    mask = torch.empty(2, 1, 1, 96, device="meta")
    assert multi_head.attend(q, k, v, mask, None).shape == (2, 4, 96, 32)


def check_gradients(q, k, v, mask=None, scale=None, is_causal=False, like=None) -> None:
    """Gradients are sums of up to some hundred products of numbers around 1."""
    given = [x.detach().requires_grad_() for x in (q, k, v)]
    y = attend(*given, mask, scale=scale, is_causal=is_causal)
    gradient = random(*y.shape) if like is None else like.expand_as(y)
    made = torch.autograd.grad(y, given, gradient)
    doubles = [x.detach().double().requires_grad_() for x in (q, k, v)]
    reference = wanted(*doubles, mask, scale, is_causal)
    torch.testing.assert_close(y.detach().double(), reference.detach(), rtol=1e-5, atol=5e-6)
    expected = torch.autograd.grad(reference, doubles, gradient.double())
    for ours, theirs in zip(made, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("size", list(SIZES.values())[:-1], ids=list(SIZES)[:-1])
@pytest.mark.parametrize("kind", ["none", "causal", "keys", "queries", "whole", "boolean"])
def test_gradients(size: tuple[int, ...], kind: str, library: list[bool]) -> None:
    batch, heads, length, _ = size
    shapes = {"keys": (batch, 1, 1, length), "whole": (batch, heads, length, length)}
    mask = None if kind in ("none", "causal") else random(*shapes.get(kind, (1, 1, length, length)))
    if kind == "boolean":
        mask = (mask > 0) | torch.eye(length, dtype=torch.bool)
    check_gradients(*inputs(*size), mask, is_causal=kind == "causal")
    assert library == [True]


def test_gradients_of_other_forms(library: list[bool]) -> None:
    check_gradients(*inputs(2, 4, 50, 32, 70, 48), scale=0.3)
    check_gradients(*inputs(2, 4, 50, 32, 70), is_causal=True)
    check_gradients(*inputs(2, 4, 70, 32, 50), is_causal=True)
    q, k, v = inputs(2, 8, 80, 32)
    check_gradients(q, k[:, :2], v[:, :2])
    check_gradients(q.contiguous(), k, v, like=torch.ones(()))
    assert library == [True] * 5


def test_few_queries_and_many_keys(library: list[bool]) -> None:
    check_gradients(*inputs(1, 2, 4, 8, 60_000), is_causal=True)
    check(*inputs(1, 2, 4, 8, 60_000), is_causal=True)
    assert library == [True] * 2


@pytest.mark.parametrize("shape", [(2, 1, 96, 97), (2, 4, 95, 96), (3, 1, 1, 96), (2, 3, 96, 96)])
def test_masks_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError):
        attend(*inputs(2, 4, 96, 32), random(*shape))


def test_keys_that_do_not_fit_are_refused() -> None:
    q, k, v = inputs(2, 4, 96, 32)
    with pytest.raises(RuntimeError):
        attend(q, k[..., :16], v)


def test_gradients_of_some_inputs(library: list[bool]) -> None:
    q, k, v = inputs(2, 4, 96, 32)
    k.requires_grad_()
    (made,) = torch.autograd.grad(attend(q, k, v).sum(), [k])
    doubled = k.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(wanted(q, doubled, v).sum(), [doubled])
    torch.testing.assert_close(made.double(), expected, rtol=2e-5, atol=2e-5)
    assert library == [True]


def test_masks_that_leave_little_in_training(library: list[bool]) -> None:
    mask = torch.zeros(2, 1, 96, 96)
    mask[..., 5:] = -INFINITY
    check_gradients(*inputs(2, 4, 96, 32), mask)
    assert library == [True]


def test_what_is_torchs(library: list[bool]) -> None:
    check(*inputs(1, 2, 5, 8))
    check_gradients(*inputs(1, 2, 5, 8))
    q, k, v = inputs(2, 4, 96, 32)
    mask = random(1, 1, 96, 96).requires_grad_()
    attend(q, k, v, mask).sum().backward()
    assert mask.grad is not None
    assert library == [False] * 3


def test_much_memory_is_not_taken(library: list[bool]) -> None:
    q, k, v = inputs(5, 4, 1000, 4)
    check_gradients(q, k, v)
    assert library == [False]
    check(q, k, v)
    assert library == [False, True]


def test_other_types_are_torchs() -> None:
    q, k, v = (x.bfloat16() for x in inputs(2, 4, 96, 32))
    assert attend(q, k, v).dtype is torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert attend(*inputs(2, 4, 96, 32)).dtype is torch.bfloat16


def test_nothing() -> None:
    assert attend(*inputs(0, 4, 96, 32)).shape == (0, 4, 96, 32)
    assert attend(*inputs(2, 4, 96, 0)).shape == (2, 4, 96, 0)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        check(*inputs(2, 5, 150, 40))
        check(*inputs(1, 5, 800, 16), is_causal=True)
    finally:
        torch.set_num_threads(before)


def test_runs_in_several_threads() -> None:
    given = [inputs(2, 4, 96 + 8 * (i % 2), 32) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda x: attend(*x), given))
    for x, result in zip(given, results, strict=True):
        torch.testing.assert_close(result.double(), wanted(*x), rtol=1e-5, atol=5e-6)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 9), heads=st.integers(1, 5), length=st.integers(1, 90),
    keys=st.integers(1, 90), size=st.integers(1, 40), values=st.integers(1, 40),
    mask=st.sampled_from(["", "1111", "0111", "0101", "1001", "0001"]),
)  # fmt: skip
def test_any_size(batch, heads, length, keys, size, values, mask) -> None:
    """Where the pattern of the mask has a 1, it is the same along the axis."""
    shape = (batch, heads, length, keys)
    sizes = [1 if m == "1" and axis < 3 else shape[axis] for axis, m in enumerate(mask)]
    summand = random(*sizes) if mask else None
    q, k, v = inputs(batch, heads, length, size, keys, values)
    made = onednn.attention(q, k, v, summand, 0.2, False)
    if made is not None:
        result, _ = made
        reference = wanted(q, k, v, summand, 0.2)
        torch.testing.assert_close(result.double(), reference, rtol=1e-5, atol=5e-6)


def test_in_a_graph(library: list[bool]) -> None:
    """What exporters spell out is one node, which is recorded once with what goes on from it."""
    x = ht.Variable(name="x", dtype="float32")
    weights = [ht.Variable(name=n, value=random(64, 64).numpy() / 8) for n in "qkvo"]
    heads = [
        ht.transpose_op(ht.array_reshape_op(ht.matmul_op(x, w), [3, 100, 4, 16]), [0, 2, 1, 3])
        for w in weights[:3]
    ]
    q, k, v = heads
    scores = ht.batch_matmul_op(q, ht.transpose_op(k, [0, 1, 3, 2])) * 0.25
    y = ht.batch_matmul_op(ht.op.Softmax(scores, axis=-1), v)
    y = ht.array_reshape_op(ht.transpose_op(y, [0, 2, 1, 3]), [300, 64])
    z = ht.matmul_op(y, weights[3])
    feed = {x: random(300, 64).numpy()}
    (plain,) = ht.Executor([z], optimize=False).run(feed_dict=feed, convert_to_numpy_ret_vals=True)
    executor = ht.Executor([z])
    for _ in range(4):
        (result,) = executor.run(feed_dict=feed, convert_to_numpy_ret_vals=True)
        np.testing.assert_allclose(result, plain, rtol=1e-4, atol=1e-5)
    assert library == [True]
