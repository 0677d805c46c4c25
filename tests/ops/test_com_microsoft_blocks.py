"""Products with weights of a few bits that ONNX Runtime's CPU build lacks, by their parts."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from hetu.ops.com_microsoft import block_layers as layers
from hetu.ops.com_microsoft.blocks import mat_mul_n_bits
from tests.ops.test_com_microsoft import draw

K, N = 32, 6
SHAPE: dict[str, Any] = {"K": K, "N": N, "block_size": 16}


def weights(seed: int, rows: int = N, columns: int = K, bits: int = 4) -> tuple[Tensor, Tensor]:
    """Packed weights and their scales, in blocks of 16."""
    generator, blocks = np.random.default_rng(seed), -(-columns // 16)
    codes = generator.integers(0, 256, (rows, blocks, 16 * bits // 8)).astype(np.uint8)
    return torch.from_numpy(codes), draw(rows, blocks, seed=seed).float() / 8


def product(x: Tensor, packed: tuple[Tensor, Tensor], bias: Tensor | None = None) -> Tensor:
    return mat_mul_n_bits(x, *packed, None, None, bias, **SHAPE)


def test_gated_products_behind_a_norm() -> None:
    x, skip, scale, bias = (draw(*s).float() for s in ((2, K), (2, K), (K,), (N,)))
    gate, up = weights(0), weights(1)
    y, total = layers.mat_mul_n_bits_mlp(
        x, skip, scale, *gate, bias, *up, activation="silu", epsilon=0.1, **SHAPE
    )
    summed = x + skip
    normed = summed / (summed.square().mean(-1, keepdim=True) + 0.1).sqrt() * scale
    torch.testing.assert_close(y, F.silu(product(normed, gate, bias)) * product(normed, up))
    torch.testing.assert_close(total, summed)
    y, _ = layers.mat_mul_n_bits_mlp(x, None, None, *gate, None, *up, activation="silu", **SHAPE)
    torch.testing.assert_close(y, F.silu(product(x, gate)) * product(x, up))


def test_three_products_behind_a_norm() -> None:
    x, scale, bias = draw(2, K).float(), draw(K).float(), draw(N).float()
    parts = [weights(seed) for seed in range(3)]
    results = layers.mat_mul_n_bits_qkv(
        x, None, scale, *parts[0], bias, *parts[1], None, *parts[2],
        K=K, Nq=N, Nkv=N, block_size=16, epsilon=0.1,
    )  # fmt: skip
    normed = x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt() * scale
    for y, part, added in zip(results[:3], parts, (bias, None, None), strict=True):
        torch.testing.assert_close(y, product(normed, part, added))


def test_adapters() -> None:
    x, base = draw(2, K).float(), weights(0)
    down, up = weights(1, rows=5, bits=8), weights(2, columns=5, bits=8)
    options: dict[str, Any] = {"lora_block_size": 16, **SHAPE}
    y = layers.mat_mul_n_bits_q_lo_ra(x, *base, *down, *up, **options)
    eight: dict[str, Any] = {"bits": 8, "block_size": 16}
    hidden = mat_mul_n_bits(x, *down, K=K, N=5, **eight)
    torch.testing.assert_close(y, product(x, base) + mat_mul_n_bits(hidden, *up, K=5, N=N, **eight))
    y = layers.mat_mul_n_bits_q_lo_ra(x, *base, *down, up[0][:, :0], up[1], **options)
    torch.testing.assert_close(y, product(x, base))


def test_weights_in_small_floats() -> None:
    x, bias = draw(3, 20).float(), draw(4).float()
    weight = draw(4, 20).to(torch.float8_e4m3fn)
    scale = draw(4, 2).float()
    y = layers.mat_mul_block_quantized_fp8_weight(x, weight, scale, None, bias, block_size=16)
    spread = scale.repeat_interleave(16, 1)[:, :20]
    torch.testing.assert_close(y, x @ (weight.float() * spread).t() + bias)
    step = torch.tensor(0.01)
    rounded = (x / step).clamp(-448, 448).to(torch.float8_e4m3fn).float() * step
    y = layers.mat_mul_block_quantized_fp8_weight(x, weight, scale, step, bias, block_size=16)
    torch.testing.assert_close(y, rounded @ (weight.float() * spread).t() + bias)
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
    table = np.concatenate([table, -table])
    codes = np.random.default_rng(0).integers(0, 16, (4, 20))
    packed = torch.from_numpy((codes[:, ::2] | codes[:, 1::2] << 4).astype(np.uint8))
    scales = draw(4, 2).to(torch.float8_e4m3fn)
    y = layers.mat_mul_block_quantized_fp4_weight(
        x, packed, scales.view(torch.uint8), torch.tensor(0.5), None, bias
    )
    spread = 0.5 * scales.float().repeat_interleave(16, 1)[:, :20]
    torch.testing.assert_close(y, x @ (torch.from_numpy(table[codes]) * spread).t() + bias)
