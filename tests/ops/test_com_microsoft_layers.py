"""Operators of com.microsoft that ONNX Runtime's CPU build lacks: by formulas; gradients."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hetu.errors import UnsupportedError
from hetu.ops.com_microsoft import (
    arrays,
    causal,
    decoding,
    dropout,
    fused,
    moe,
    recurrences,
    rotary,
    sparse,
    streams,
)
from hetu.ops.com_microsoft.group_query import group_query_attention
from hetu.ops.com_microsoft.paged import paged_attention
from hetu.ops.kinds import Context
from tests.ops.test_com_microsoft import check_gradient, draw, same, softmax


def test_products_with_an_activation() -> None:
    a, b = draw(2, 3, 4), draw(2, 5, 4)
    product = 0.5 * a.numpy() @ b.numpy().swapaxes(1, 2)
    options: dict[str, Any] = {"alpha": 0.5, "transB": True}
    y = fused.fused_mat_mul_activation(a, b, activation="Relu", **options)
    same(y, np.maximum(product, 0))
    y = fused.fused_mat_mul_activation(a, b, activation="Softmax", activation_axis=-1, **options)
    same(y, softmax(product))


def test_softmax_of_biased_scores() -> None:
    scores, bias = draw(2, 3, 4, 4), draw(2, 1, 1, 4)
    y = fused.bias_softmax(scores, bias, axis=3, is_inner_broadcast=True)
    same(y, softmax((scores + bias).numpy()))
    y = fused.bias_softmax(scores, bias, axis=2, is_inner_broadcast=True)
    same(y, softmax((scores + bias).numpy().reshape(2, 3, 16)).reshape(2, 3, 4, 4))


def test_dropout_with_bias_and_bits() -> None:
    x, bias, residual = draw(5, 9), draw(9), draw(5, 9, seed=1)
    y, mask = dropout.bias_dropout(x, bias, residual, 0.5, ctx=Context())
    same(y, (x + bias + residual).numpy())
    assert mask is not None and mask.all()
    context = Context(training=True, generator=torch.Generator().manual_seed(0))
    y, mask = dropout.bias_dropout(x, bias, residual, 0.25, True, ctx=context)
    assert mask is not None and not mask.all() and mask.any()
    same(y, ((x + bias) * mask / 0.75 + residual).numpy())
    context = Context(training=True, generator=torch.Generator().manual_seed(0))
    y, bits = dropout.bitmask_bias_dropout(x, bias, residual, 0.25, True, ctx=context)
    same(y, ((x + bias) * mask / 0.75 + residual).numpy())
    packed = np.packbits(mask.numpy().ravel(), bitorder="little")
    expected = np.pad(packed, (0, -len(packed) % 4)).view(np.uint32)
    np.testing.assert_array_equal(np.asarray(bits), expected)
    y, bits = dropout.bitmask_dropout(x, ctx=Context())
    assert torch.equal(y, x) and int(bits[0]) == 2**32 - 1


def test_gated_units() -> None:
    gate, up = draw(3, 4), draw(3, 4, seed=1)
    options: dict[str, Any] = {"activation_alpha": 1.5, "activation_beta": 0.5, "limit": 0.7}
    g, u = np.minimum(gate.numpy(), 0.7), np.clip(up.numpy(), -0.7, 0.7)
    expected = g / (1 + np.exp(-1.5 * g)) * (u + 0.5)
    same(streams.swi_glu(gate, up, **options), expected)
    same(streams.swi_glu(torch.cat((gate, up), -1), **options), expected)
    x, w = draw(3, 2), draw(2, 5 + 8)
    router, activated = streams.router_gate_up_proj(x, w, router_size=5, **options)
    same(router, (x @ w)[:, :5].numpy())
    same(activated, streams.swi_glu((x @ w)[:, 5:], **options).numpy())


def test_low_rank_mix() -> None:
    x, scale, down, up, inject = draw(3, 8), draw(8), draw(8, 2), draw(2, 8), draw(8, 2)
    block, gate = draw(3, 4), draw(3, 2)
    s = x.numpy().reshape(3, 2, 4) + gate.numpy()[..., None] * block.numpy()[:, None]
    h = s / np.sqrt((s**2).mean(-1, keepdims=True) + 0.1) * scale.numpy().reshape(2, 4)
    z = 0.5 * h.reshape(3, 8) @ down.numpy()
    gates = 1 / (1 + np.exp(-(z / (1 + np.exp(-z))) @ up.numpy()))
    y, post, summed = streams.hyper_connection_low_rank_mix(
        x, scale, down, up, inject, block, gate, epsilon=0.1, silu_alpha=0.5, num_branches=2,
        gate_div=2.0, gate_mul=3.0, reduction_scale=0.25,
    )  # fmt: skip
    same(y, 0.25 * (h * gates.reshape(3, 2, 4)).sum(1))
    same(post, 3 / (1 + np.exp(-h.reshape(3, 8) @ inject.numpy() / 2)))
    assert summed is not None
    same(summed, s.reshape(3, 8))


def test_arrays() -> None:
    assert arrays.is_all_finite(draw(3), draw(2))
    bad = torch.tensor([1.0, math.nan])
    assert not arrays.is_all_finite(draw(3), bad)
    assert arrays.is_all_finite(bad, isinf_only=True)
    assert not arrays.is_all_finite(torch.tensor([math.inf]), isinf_only=True)
    assert arrays.is_all_finite(torch.tensor([math.inf]), isnan_only=True)
    codes = torch.tensor([[200, 100], [50, 6]], dtype=torch.uint8)
    sums = arrays.reduce_sum_integer(codes, axes=(1,), keepdims=False)
    assert sums.dtype == torch.uint32 and sums.tolist() == [300, 56]
    weight, ids = draw(4, 3).requires_grad_(), torch.tensor([[1, 2], [2, 3]])
    y = arrays.torch_embedding(weight, ids, 2)
    same(y.detach(), weight.detach().numpy()[ids.numpy()])
    (gradient,) = torch.autograd.grad(y.sum(), [weight])
    assert gradient.sum(1).tolist() == [0, 3, 0, 3]
    with pytest.raises(UnsupportedError, match="cosine"):
        arrays.c_dist(draw(2, 3), draw(2, 3), metric="cosine")


def test_rotations_that_are_computed() -> None:
    angles, q, k = draw(2, 3, 4), draw(2, 5, 3, 4), draw(2, 5, 3, 4, seed=1)
    turned = [torch.cat((-x[..., 2:], x[..., :2]), -1) for x in (q, k)]
    results = rotary.gemma_rotary_embedding(angles, q, turned[0], k, turned[1])
    cos, sin = np.cos(angles.numpy())[:, None], np.sin(angles.numpy())[:, None]
    for y, x, t in zip(results, (q, k), turned, strict=True):
        same(y, x.numpy() * cos + t.numpy() * sin)


def heads(x: np.ndarray, count: int) -> np.ndarray:
    return x.reshape(*x.shape[:2], count, -1).swapaxes(1, 2)


def test_longformer() -> None:
    size, window = 8, 2
    x, w, b = draw(2, 8, 4), draw(4, 3 * size), draw(3 * size)
    global_w, global_b = draw(4, 3 * size, seed=1), draw(3 * size, seed=1)
    mask = np.zeros((2, 8))
    mask[1, 6:] = -1e4
    is_global = np.zeros((2, 8), np.int32)
    is_global[:, 0] = 1
    expected = []
    for weights, bias in ((w, b), (global_w, global_b)):
        q, k, v = (heads(p, 2) for p in np.split(x.numpy() @ weights.numpy() + bias.numpy(), 3, -1))
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(4) + mask[:, None, None]
        if weights is w:
            near = abs(np.arange(8) - np.arange(8)[:, None]) <= window
            seen = near | (is_global[:, None] > 0)
            scores = np.where(seen[:, None], scores, -np.inf)
        expected.append((softmax(scores) @ v).swapaxes(1, 2).reshape(2, 8, size))
    y = sparse.longformer_attention(
        x, w, b, torch.from_numpy(mask), global_w, global_b, torch.from_numpy(is_global),
        num_heads=2, window=window,
    )  # fmt: skip
    same(y, np.where(is_global[..., None] > 0, expected[1], expected[0]))


def test_decoder_attention() -> None:
    x, source = draw(3, 2, 8), draw(5, 2, 8)
    q_weight, kv_weight, bias = draw(8, 8), draw(8, 16), draw(24)
    padding = np.zeros((2, 5), bool)
    padding[1, 3:] = True
    q = (x.numpy() @ q_weight.numpy() + bias.numpy()[:8]).swapaxes(0, 1)
    both = (source.numpy() @ kv_weight.numpy() + bias.numpy()[8:]).swapaxes(0, 1)
    k, v = (heads(part, 2) for part in np.split(both, 2, -1))
    scores = heads(q, 2) @ k.swapaxes(-1, -2) / 2 + padding[:, None, None] * -1e4
    expected = (softmax(scores) @ v).swapaxes(1, 2).reshape(2, 3, 8).swapaxes(0, 1)
    weights = q_weight, kv_weight, bias, torch.from_numpy(padding)
    flags = True, False, False, True  # static_kv, use_past, has_layer_state, has_key_padding_mask
    y, keys, values = decoding.decoder_attention(
        x, source, *weights, None, None, *flags, num_heads=2
    )
    same(y, expected)
    again, *_ = decoding.decoder_attention(
        x, source, *weights, keys, values, True, True, True, True, num_heads=2
    )
    same(again, expected)


def test_one_token_of_self_attention() -> None:
    x, weights, bias, past = draw(2, 1, 4), draw(4, 24), draw(24), draw(2, 2, 2, 3, 4)
    q, k, v = ((x @ weights + bias).unflatten(-1, (3, 2, 4))).permute(2, 0, 3, 1, 4)
    k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
    shares = softmax((q @ k.transpose(-1, -2) / 2).numpy())
    y, present = decoding.decoder_masked_self_attention(
        x, weights, bias, None, past, None, 3, num_heads=2
    )
    same(y, (shares @ v.numpy()).swapaxes(1, 2).reshape(2, 1, 8))
    same(present, torch.stack((k, v)).numpy())


PAST, NEW = (3, 0, 5), (1, 4, 2)


@pytest.mark.parametrize("options", [{}, {"local_window_size": 3}, {"do_rotary": True}])
def test_pages(options: dict[str, Any]) -> None:
    """Requests over pages are requests over caches of their own."""
    page, size, heads, kv_heads = 4, 8, 4, 2
    ends = [0, *np.cumsum(NEW).tolist()]
    tokens = [draw(ends[-1], n * size, seed=i) for i, n in enumerate((heads, kv_heads, kv_heads))]
    caches = [draw(6, page, kv_heads, size, seed=i) for i in (5, 6)]
    table = torch.tensor([[4, -1], [2, -1], [5, 0]])
    tables = (draw(16, size // 2), draw(16, size // 2, seed=1)) if options.get("do_rotary") else ()
    counts = {"num_heads": heads, "kv_num_heads": kv_heads}
    y, *present = paged_attention(
        *tokens, *caches, tuple(ends), torch.tensor(PAST), table, *tables, **counts, **options
    )
    for i, (past, new) in enumerate(zip(PAST, NEW, strict=True)):
        rows = slice(ends[i], ends[i + 1])
        own = [cache[table[i].clamp(min=0)].flatten(0, 1)[None].transpose(1, 2) for cache in caches]
        expected, *updated, _ = group_query_attention(
            *(x[None, rows] for x in tokens), *(x[:, :, :past] for x in own),
            torch.tensor([past + new - 1]), past + new, *tables, **counts, **options,
        )  # fmt: skip
        same(y[rows], expected[0].numpy())
        for cache, held in zip(present, updated, strict=True):
            pages = cache[table[i].clamp(min=0)].flatten(0, 1).transpose(0, 1)
            same(pages[:, : past + new], held[0].numpy())


def test_pages_of_one_latent_cache_and_of_steps() -> None:
    q, k, cache = draw(2, 32), draw(2, 16), draw(2, 4, 1, 16)
    where = (0, 2), torch.tensor([1]), torch.tensor([[1]])
    counts = {"num_heads": 2, "kv_num_heads": 1}
    y, held, _ = paged_attention(
        q, k, None, cache, None, *where, **counts, kv_cache_layout="LATENT", v_head_size=4
    )
    assert y.shape == (2, 8)
    expected, *_ = paged_attention(q, k, k, cache, cache, *where, **counts)
    same(y, expected.unflatten(-1, (2, 16))[..., :4].flatten(1).numpy())
    same(held[1, 1:3, 0], k.numpy())
    codes = torch.zeros(2, 4, 1, 8, dtype=torch.uint8)
    options = {"k_cache_dtype": "int4", "v_cache_dtype": "int4"}
    options |= {"k_quant_type": "PER_TENSOR", "v_quant_type": "PER_TENSOR"}
    scale = torch.tensor([0.5])
    _, packed, _ = paged_attention(
        q, k, k, codes, codes, *where, k_scale=scale, v_scale=scale, **counts, **options
    )
    rounded = (k / 0.5).round().clamp(-8, 7).int().numpy() & 15
    np.testing.assert_array_equal(packed[1, 1:3, 0], rounded[:, ::2] | rounded[:, 1::2] << 4)


def test_windows_forget_alike_however_the_tokens_come() -> None:
    """A cache with room beyond its window holds the same tokens after any way of cutting them."""
    tokens = [draw(1, 9, 16, seed=i) for i in range(3)]
    options: dict[str, Any] = {"num_heads": 2, "kv_num_heads": 2, "local_window_size": 3}
    whole, *_ = group_query_attention(*tokens, None, None, torch.tensor([8]), 9, **options)
    held = {}
    for sizes in ((1,) * 9, (4, 2, 3), (5, 4)):
        caches, outputs, end = [draw(1, 2, 5, 8, seed=7) for _ in range(2)], [], 0
        for size in sizes:
            part = [x[:, end : end + size] for x in tokens]
            end += size
            y, *caches, _ = group_query_attention(
                *part, *caches, torch.tensor([end - 1]), end, sliding_window_cache=True, **options
            )
            outputs.append(y)
        same(torch.cat(outputs, 1), whole.numpy())
        held[sizes] = caches[0]
    resident = 9 - 3 * math.ceil((9 - 5) / 3)
    last = tokens[1].unflatten(-1, (2, 8)).transpose(1, 2)[:, :, 9 - resident :]
    for cache in held.values():
        same(cache[:, :, :resident], last.numpy())


def test_causal_convolutions_with_windows_and_taps_of_their_own() -> None:
    x, weight = draw(1, 2, 3), draw(2, 1, 3)
    past = draw(4, 1, 2, 2)
    y, present, _ = causal.causal_conv_with_state(x, weight, None, past, state_window=4)
    expected, _, _ = causal.causal_conv_with_state(x, weight, None, past[-1])
    same(y, expected.numpy())
    history = torch.cat((past[-1], x), -1)
    assert not present[0].any()
    for slot, end in ((1, 3), (2, 4), (3, 5)):
        same(present[slot], history[..., end - 2 : end].numpy())
    tokens, state = draw(3, 4), draw(1, 4, 1)
    weight, delta, mask = draw(4, 1, 2), draw(3, 2, 2), draw(3, 1)
    y, final, _ = causal.varlen_causal_conv_with_state(
        tokens, weight, (0, 3), None, state, None, delta, mask, group_size=2
    )
    before = np.concatenate([state.numpy()[0].T, tokens.numpy()[:-1]])
    taps = weight.numpy()[:, 0].T + delta.numpy().repeat(2, -1)[:, ::-1]
    same(y, tokens.numpy() * taps[:, 1] + before * taps[:, 0] * mask.numpy())
    same(final, tokens.numpy()[-1][None, :, None])


def test_states_of_linear_attention() -> None:
    q, k, v = draw(2, 3, 4), draw(2, 3, 4, seed=1), draw(2, 3, 6)
    options: dict[str, Any] = {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"}
    past = draw(5, 2, 2, 2, 3)
    _, states = recurrences.linear_attention(q, k, v, past, state_window=5, **options)
    assert not states[:2].any()
    for count in (1, 2, 3):
        part = [x[:, :count] for x in (q, k, v)]
        _, state = recurrences.linear_attention(*part, past[-1], **options)
        same(states[1 + count], state.numpy())


def test_experts_in_eight_bit_floats() -> None:
    x, logits = draw(3, 4).float(), draw(3, 2).float()
    fc1, fc2 = draw(2, 6, 4).to(torch.float8_e4m3fn), draw(2, 4, 6).to(torch.float8_e4m3fn)
    scales = draw(2, 3, 2).abs().float(), draw(2, 2, 3).abs().float()
    y = moe.q_moe(
        x, logits, fc1, scales[0], None, fc2, scales[1], quant_type="fp8", block_size=2, k=2,
        activation_type="silu",
    )  # fmt: skip
    weights = [
        w.float() * s.repeat_interleave(2, 1).repeat_interleave(2, 2)
        for w, s in zip((fc1, fc2), scales, strict=True)
    ]
    expected = moe.moe(x, logits, weights[0], None, weights[1], k=2, activation_type="silu")
    torch.testing.assert_close(y, expected)


def test_gradients() -> None:
    rule: dict[str, Any] = {"q_num_heads": 2, "kv_num_heads": 2}
    check_gradient(
        lambda *x: recurrences.linear_attention(*x, **rule),
        draw(1, 3, 4), draw(1, 3, 4), draw(1, 3, 6), draw(1, 2, 2, 3), draw(1, 3, 2), draw(1, 3, 2),
    )  # fmt: skip
    check_gradient(
        lambda *x: causal.causal_conv_with_state(*x, activation="silu")[:2],
        draw(1, 2, 4), draw(2, 1, 3), draw(2), draw(1, 2, 2),
    )  # fmt: skip
    check_gradient(
        lambda *x: streams.engram_gate(*x), draw(1, 2, 2, 3), draw(1, 2, 2, 3, seed=1),
        draw(1, 2, 3), draw(2, 3), draw(2, 3, seed=1), draw(2, 3, seed=2),
    )  # fmt: skip
    check_gradient(streams.gated_rms_norm, draw(2, 6), draw(3), draw(2, 6, seed=1))
    check_gradient(lambda a, b: arrays.c_dist(a, b, metric="euclidean"), draw(2, 3), draw(4, 3))
    same_points = draw(2, 3).requires_grad_()
    distances = arrays.c_dist(same_points, same_points, metric="euclidean")
    assert torch.autograd.grad(distances.sum(), [same_points])[0].isfinite().all()
    where = (0, 1, 3), torch.tensor([2, 1]), torch.tensor([[1], [0]])
    check_gradient(
        lambda q, k, v, c, d: paged_attention(q, k, v, c, d, *where, num_heads=2, kv_num_heads=1),
        draw(3, 8), draw(3, 4), draw(3, 4), draw(2, 4, 1, 4), draw(2, 4, 1, 4),
    )  # fmt: skip
    row, column = torch.tensor([[0, 1, 3]]), torch.tensor([[0, 0, 1]])
    check_gradient(
        lambda q, k, v, c, d: sparse.sparse_attention(
            q, k, v, c, d, row, column, 4, torch.tensor([4]), num_heads=2, kv_num_heads=1,
            sparse_block_size=2,
        ),
        draw(1, 4, 8), draw(1, 4, 4), draw(1, 4, 4), draw(1, 1, 4, 4), draw(1, 1, 4, 4),
    )  # fmt: skip


def test_sparse_attention_of_sequences_of_several_lengths() -> None:
    """One by one, sequences give what they give together."""
    caches: list[Tensor] = [draw(2, 1, 8, 4, seed=i) for i in range(2)]
    tokens = [draw(2, 1, n * 4, seed=n) for n in (2, 1, 1)]
    row, column = torch.tensor([[0, 1, 3, 5, 8]]), torch.tensor([[0, 0, 1, 0, 2, 0, 2, 3]])
    options: dict[str, Any] = {"num_heads": 2, "kv_num_heads": 1, "sparse_block_size": 2}
    totals = torch.tensor([8, 5])
    y, *_ = sparse.sparse_attention(*tokens, *caches, row, column, 8, totals, **options)
    for i, total in enumerate(totals.tolist()):
        part = [x[i : i + 1] for x in (*tokens, *caches)]
        alone, *_ = sparse.sparse_attention(*part, row, column, total, totals[i : i + 1], **options)
        same(y[i], alone[0].numpy())
