"""Operators of com.microsoft: by formulas where ONNX Runtime has no CPU kernel; gradients."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hetu.errors import UnsupportedError
from hetu.ops.com_microsoft import attention, fused, gelu, layer_norm, moe, packing
from hetu.ops.com_microsoft.group_query import group_query_attention


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def same(actual: Any, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-9, atol=1e-12)


erf = np.vectorize(math.erf)


def exact_gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def fast(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_gelu_with_neighbours() -> None:
    x, bias, skip, w = draw(2, 3, 8), draw(8), draw(2, 3, 8, seed=1), draw(8, 5)
    biased = (x + bias).numpy()
    same(gelu.bias_add(x, bias, skip), biased + skip.numpy())
    same(gelu.bias_split_gelu(x, bias), biased[..., :4] * exact_gelu(biased[..., 4:]))
    same(gelu.gemm_fast_gelu(x, w, draw(5)), fast((x @ w + draw(5)).numpy()))
    same(gelu.gemm_fast_gelu(x, w), fast((x @ w).numpy()))


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("activation", [0, 1])
def test_group_norm(channels_last: bool, activation: int) -> None:
    x, gamma, beta = draw(2, 6, 3, 4), draw(6), draw(6, seed=1)
    groups = x.numpy().reshape(2, 3, 2 * 12)
    centered = groups - groups.mean(-1, keepdims=True)
    expected = centered / np.sqrt(groups.var(-1, keepdims=True) + 1e-3)
    expected = expected.reshape(x.shape) * gamma.numpy()[:, None, None]
    expected = expected + beta.numpy()[:, None, None]
    expected = expected / (1 + np.exp(-expected)) if activation else expected
    options = {"activation": activation, "epsilon": 1e-3, "groups": 3}

    def to(value: Tensor) -> Tensor:
        return value.movedim(1, -1) if channels_last else value

    y = layer_norm.group_norm(to(x), gamma, beta, channels_last=channels_last, **options)
    same(y, to(torch.from_numpy(expected)).numpy())
    skip, bias = draw(2, 6), draw(6, seed=3)
    for added in (skip, to(skip[:, :, None, None])):
        y, total = layer_norm.skip_group_norm(
            to(x - skip[:, :, None, None] - bias[:, None, None]), gamma, beta, added, bias,
            channels_last=channels_last, **options,
        )  # fmt: skip
        same(y, to(torch.from_numpy(expected)).numpy())
        same(total, to(x).numpy())


def test_statistics_of_skipping_norms() -> None:
    x, skip, gamma = draw(2, 3, 4), draw(3, 4), draw(4)
    total = (x + skip).numpy()
    _, mean, inverse, summed = layer_norm.skip_layer_normalization(x, skip, gamma, epsilon=0.1)
    np.testing.assert_allclose(mean, total.mean(-1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(inverse, (total.var(-1, keepdims=True) + 0.1) ** -0.5, rtol=1e-5)
    same(summed, total)
    _, _, inverse, _ = layer_norm.skip_simplified_layer_normalization(
        x, skip, gamma, epsilon=0.1, n_outputs=4
    )
    same(inverse, ((total**2).mean(-1, keepdims=True) + 0.1) ** -0.5)


@pytest.mark.parametrize("dims", [1, 2])
def test_transforms(dims: int) -> None:
    x = draw(3, 4, 6)
    y = fused.rfft(x, signal_ndim=dims)
    expected = np.fft.rfftn(x.numpy(), axes=tuple(range(-dims, 0)))
    same(y, np.stack((expected.real, expected.imag), -1))
    same(fused.irfft(y, signal_ndim=dims), x.numpy())
    assert fused.rfft(x.half(), signal_ndim=dims).dtype == torch.float16


def test_complex_products() -> None:
    a, b = draw(2, 3, 2), draw(3, 2)
    ca, cb = (z.numpy()[..., 0] + 1j * z.numpy()[..., 1] for z in (a, b))
    for product, expected in (
        (fused.complex_mul, ca * cb),
        (fused.complex_mul_conj, ca * cb.conj()),
    ):
        same(product(a, b), np.stack((expected.real, expected.imag), -1))


LENGTHS = (1, 3, 2)


def packed_batch(width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch of three sequences of four places: padded, packed, offsets, cumulated lengths."""
    x = draw(3, 4, width)
    real = np.arange(4) < np.array(LENGTHS)[:, None]
    order = np.argsort(~real.reshape(-1), kind="stable").astype(np.int32)
    tokens = x.reshape(12, width)[torch.from_numpy(order[: sum(LENGTHS)])]
    ends = np.cumsum([0, *LENGTHS]).astype(np.int32)
    return x, tokens, torch.from_numpy(order.reshape(3, 4)), torch.from_numpy(ends)


def test_padding_comes_and_goes() -> None:
    x, tokens, offsets, ends = packed_batch(5)
    results = packing.remove_padding(x, torch.tensor(LENGTHS, dtype=torch.int32))
    torch.testing.assert_close(results, (tokens, offsets, ends, torch.tensor([3]).int()))
    y = packing.restore_padding(tokens, offsets)
    for row, length in enumerate(LENGTHS):
        assert torch.equal(y[row, :length], x[row, :length])
        assert not y[row, length:].any()


def by_sequence(x: Tensor, weights: Tensor, bias: Tensor, added: np.ndarray) -> np.ndarray:
    """Attention with two heads, written out, of each sequence without its padding."""
    results = []
    for row, length in enumerate(LENGTHS):
        parts = np.split((x[row, :length] @ weights + bias).numpy(), 3, -1)
        q, k, v = (part.reshape(length, 2, -1).swapaxes(0, 1) for part in parts)
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]) + added[:, :length, :length]
        results.append((softmax(scores) @ v).swapaxes(0, 1).reshape(length, -1))
    return np.concatenate(results)


def test_packed_attention() -> None:
    x, tokens, offsets, ends = packed_batch(5)
    weights, bias, added = draw(5, 18), draw(18), draw(1, 2, 4, 4)
    expected = by_sequence(x, weights, bias, added.numpy()[0])
    y = attention.packed_attention(tokens, weights, bias, offsets, ends, added, num_heads=2)
    same(y, expected)
    q, k, v = (tokens @ weights).chunk(3, -1)
    heads = torch.stack([part.unflatten(-1, (2, 3)) for part in (q, k, v)], 2)
    for parts in ((q, k, v), (heads, None, None)):
        y = attention.packed_multi_head_attention(*parts, bias, offsets, ends, added, num_heads=2)
        same(y, expected)


def test_forms_of_multi_head_attention() -> None:
    q, k, v = (draw(2, 3, 8, seed=seed) for seed in range(3))
    expected, *_ = attention.multi_head_attention(q, k, v, num_heads=2, n_outputs=1)
    q5, k5, v5 = (x.unflatten(-1, (2, 4)) for x in (q, k, v))
    for inputs in (
        (torch.stack((q5, k5, v5), 3),),
        (q, torch.stack((k5, v5), 3)),
        (q, k5.transpose(1, 2), v5.transpose(1, 2)),
    ):
        y, *_ = attention.multi_head_attention(*inputs, num_heads=2, n_outputs=1)
        same(y, expected.numpy())


def test_scores_and_shared_caches() -> None:
    q, k, v = (draw(2, 1, 8, seed=seed) for seed in range(3))
    caches = [draw(2, 2, 5, 4, seed=seed) for seed in (3, 4)]
    filled = [cache[:, :, :3] for cache in caches]
    options: dict[str, Any] = {"num_heads": 2, "n_outputs": 4}
    expected, key, value, scores = attention.multi_head_attention(
        q, k, v, None, None, None, *filled, **options
    )
    y, *present, _ = attention.multi_head_attention(
        q, k, v, None, None, None, *caches, 3, **options
    )
    same(y, expected.numpy())
    for now, shared, before in zip((key, value), present, caches, strict=True):
        same(shared, np.concatenate((now.numpy(), before.numpy()[:, :, 4:]), 2))
    heads = q.unflatten(-1, (2, 4)).transpose(1, 2)
    same(scores, (heads @ key.transpose(-1, -2) / 2).numpy())


def test_masks_of_megatron() -> None:
    x, weights = draw(2, 3, 4), draw(4, 12)
    mask = torch.ones(2, 1, 6, 6, dtype=torch.int32).tril()
    expected, _ = attention.attention(x, weights, num_heads=2, unidirectional=True)
    y, _ = attention.attention(x, weights, None, mask, num_heads=2, mask_filter_value=-1e9)
    same(y, expected.numpy())


@pytest.mark.parametrize("is_bidirectional", [True, False])
def test_relative_position_bias(is_bidirectional: bool) -> None:
    table, farthest = draw(8, 3), 20
    expected = np.zeros((1, 3, 30, 30))
    columns = table.numpy().reshape(3, 8)  # stored by columns
    for i in range(30):
        for j in range(30):
            count, bucket, distance = 8, 0, j - i
            if is_bidirectional:
                count, bucket = 4, 4 if distance > 0 else 0
                distance = abs(distance)
            else:
                distance = max(0, -distance)
            exact = count // 2
            if distance >= exact:
                share = np.log(np.float32(distance / exact)) / math.log(farthest / exact)
                distance = min(count - 1, exact + int(share * (count - exact)))
            expected[0, :, i, j] = columns[:, bucket + distance]
    y = attention.relative_position_bias(
        table, 30, 30, is_bidirectional=is_bidirectional, max_distance=farthest
    )
    same(y, expected)


def test_gated_relative_position_bias() -> None:
    x, bias, positions = draw(2, 3, 8), draw(8), draw(1, 2, 3, 3)
    weight, shift, scale = draw(4, 6), draw(6), draw(1, 2, 1, 1)
    query = (x + bias).numpy().reshape(2, 3, 2, 4).swapaxes(1, 2)
    gates = (query @ weight.numpy() + shift.numpy()).reshape(2, 2, 3, 2, 3).sum(-1)
    update, reset = np.split(1 / (1 + np.exp(-gates)), 2, -1)
    expected = (update * (reset * scale.numpy() - 1) + 2) * positions.numpy()
    y = attention.gated_relative_position_bias(
        x, bias, positions, weight, shift, scale, num_heads=2
    )
    same(y, expected)


def test_heads_are_normalized_before_they_are_grouped() -> None:
    q, k, v = draw(1, 3, 8), draw(1, 3, 4), draw(1, 3, 4, seed=1)
    weights = draw(4), draw(4, seed=1)
    lengths = torch.tensor([2])

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        heads = x.unflatten(-1, (-1, 4))
        return (heads * (heads.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * weight).flatten(2)

    options: dict[str, Any] = {"num_heads": 2, "kv_num_heads": 1}
    y, *_ = group_query_attention(
        q, k, v, None, None, lengths, 3, q_norm_weight=weights[0], k_norm_weight=weights[1],
        **options,
    )  # fmt: skip
    normed = norm(q, weights[0]), norm(k, weights[1])
    expected, *_ = group_query_attention(*normed, v, None, None, lengths, 3, **options)
    same(y, expected.numpy())


def test_chunks_of_a_prompt_are_the_prompt() -> None:
    tokens = [draw(1, 6, width, seed=width) for width in (16, 8, 8)]
    caches: list[Tensor | None] = [None, None]
    tables = draw(9, 2), draw(9, 2, seed=1)
    options: dict[str, Any] = {"num_heads": 4, "kv_num_heads": 2, "do_rotary": True}
    options["local_window_size"] = 3
    whole, *_ = group_query_attention(*tokens, None, None, torch.tensor([5]), 6, *tables, **options)
    parts = []
    for start, end in ((0, 3), (3, 5), (5, 6)):
        part = [x[:, start:end] for x in tokens]
        y, *caches, _ = group_query_attention(
            *part, *caches, torch.tensor([end - 1]), end, *tables, **options
        )
        parts.append(y)
    same(torch.cat(parts, 1), whole.numpy())


def test_experts_with_a_gate_of_their_own() -> None:
    x, logits = draw(5, 4), draw(5, 3)
    fc1, fc2, fc3 = draw(3, 6, 4), draw(3, 4, 6), draw(3, 6, 4, seed=1)
    shares = softmax(logits.numpy())
    expected = np.zeros((5, 4))
    for token in range(5):
        for expert in np.argsort(-shares[token])[:2]:
            gate, up = (w[expert].numpy() @ x[token].numpy() for w in (fc1, fc3))
            hidden = gate / (1 + np.exp(-gate)) * up
            expected[token] += shares[token, expert] * (fc2[expert].numpy() @ hidden)
    y = moe.mo_e(x, logits, fc1, None, fc2, None, fc3, k=2, activation_type="swiglu")
    same(y, expected)
    y = moe.mo_e(x, logits, fc1, None, fc2, None, fc3, k=2, activation_type="silu")
    same(y, expected)
    both = torch.cat((fc1, fc3), 1)
    y = moe.mo_e(x, logits, both, None, fc2, k=2, activation_type="swiglu", swiglu_fusion=2)
    same(y, expected)


def test_what_is_missing_says_so() -> None:
    with pytest.raises(UnsupportedError):
        attention.attention(draw(1, 2, 4), draw(4, 12), num_heads=2, do_rotary=True)


def check_gradient(function: Any, *inputs: Tensor) -> None:
    assert torch.autograd.gradcheck(function, [x.requires_grad_() for x in inputs])


def test_gradients() -> None:
    heads: dict[str, Any] = {"num_heads": 2}
    x, w, mask = draw(2, 3, 4), draw(4, 12), torch.tensor([[1, 1, 0], [1, 0, 0]])
    check_gradient(
        lambda x, w, b: attention.attention(x, w, b, mask, unidirectional=True, **heads),
        x, w, draw(12),
    )  # fmt: skip
    lengths = torch.tensor([3, 2])
    grouped = {"num_heads": 4, "kv_num_heads": 2, "do_rotary": True}
    for softcap in (0.0, 2.0):
        check_gradient(
            lambda q, p, c, s, softcap=softcap: group_query_attention(
                q, None, None, p, p * 2, lengths, 4, c, s, softcap=softcap, **grouped
            )[:3],
            draw(2, 1, 16), draw(2, 2, 3, 2), draw(5, 1), draw(5, 1, seed=1),
        )  # fmt: skip
    check_gradient(
        lambda *weights: moe.mo_e(*weights, k=2, activation_type="silu"),
        draw(3, 4), draw(3, 3), draw(3, 5, 4), draw(3, 5), draw(3, 4, 5), draw(3, 4),
    )  # fmt: skip
    check_gradient(
        lambda *inputs: layer_norm.skip_layer_normalization(*inputs)[::3],
        draw(2, 3, 4), draw(3, 4), draw(4), draw(4), draw(4, seed=1),
    )  # fmt: skip
    check_gradient(fused.inverse, draw(2, 3, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_floats(dtype: torch.dtype) -> None:
    x, w = draw(2, 3, 4, dtype=dtype), draw(4, 12, dtype=dtype)
    mask = torch.tensor([2, 1])
    y, _ = attention.attention(x, w, None, mask, num_heads=2, mask_filter_value=-3e38)
    expected, _ = attention.attention(x.double(), w.double(), None, mask, num_heads=2)
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), expected, rtol=0.05, atol=0.05)
    y, *_ = layer_norm.skip_layer_normalization(x, x, draw(4, dtype=dtype))
    assert y.dtype == dtype and y.isfinite().all()
