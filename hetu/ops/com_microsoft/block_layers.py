"""Layers with weights of a few bits: several products at once, adapters, 4- and 8-bit floats."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.convert import widen
from hetu.errors import ModelError, show
from hetu.ops.com_microsoft.blocks import mat_mul_n_bits
from hetu.ops.com_microsoft.layer_norm import simplified_layer_normalization
from hetu.ops.com_microsoft.packing import unpacked
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"

_ACTIVATIONS = {
    "": lambda x: x, "none": lambda x: x, "silu": F.silu, "swish": F.silu, "relu": torch.relu,
    "sigmoid": torch.sigmoid, "gelu": F.gelu,
}  # fmt: skip


def _normed(
    a: Tensor, skip: Tensor | None, scale: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor | None]:
    """The input of the products, and the sum that it is the norm of."""
    total = a if skip is None else a + skip
    if scale is None:
        return total, total
    y, _ = simplified_layer_normalization(total, scale, epsilon=epsilon, n_outputs=1)
    return y, total


@op("MatMulNBitsMlp", domain=DOMAIN, fixed=("gate_scales", "up_scales"))
def mat_mul_n_bits_mlp(
    a: Tensor, skip: Tensor | None, norm_scale: Tensor | None, gate_b: Tensor, gate_scales: Tensor,
    gate_bias: Tensor | None, up_b: Tensor, up_scales: Tensor, up_bias: Tensor | None = None, *,
    K: int, N: int, accuracy_level: int = 0, activation: str, bits: int = 4,  # noqa: N803
    block_size: int, epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    if activation.lower() not in _ACTIVATIONS:
        raise ModelError(f"unknown activation {show(activation)}")
    x, total = _normed(a, skip, norm_scale, epsilon)
    options: dict[str, Any] = {"K": K, "N": N, "bits": bits, "block_size": block_size}
    gate = mat_mul_n_bits(x, gate_b, gate_scales, None, None, gate_bias, **options)
    up = mat_mul_n_bits(x, up_b, up_scales, None, None, up_bias, **options)
    return _ACTIVATIONS[activation.lower()](gate) * up, total


@op("MatMulNBitsQkv", domain=DOMAIN, fixed=("q_scales", "k_scales", "v_scales"))
def mat_mul_n_bits_qkv(
    a: Tensor, skip: Tensor | None, norm_scale: Tensor, q_b: Tensor, q_scales: Tensor,
    q_bias: Tensor | None, k_b: Tensor, k_scales: Tensor, k_bias: Tensor | None, v_b: Tensor,
    v_scales: Tensor, v_bias: Tensor | None = None, *,
    K: int, Nkv: int, Nq: int, accuracy_level: int = 0, bits: int = 4,  # noqa: N803
    block_size: int, epsilon: float = 1e-6,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:  # fmt: skip
    x, total = _normed(a, skip, norm_scale, epsilon)
    options: dict[str, Any] = {"K": K, "bits": bits, "block_size": block_size}
    q = mat_mul_n_bits(x, q_b, q_scales, None, None, q_bias, N=Nq, **options)
    k = mat_mul_n_bits(x, k_b, k_scales, None, None, k_bias, N=Nkv, **options)
    v = mat_mul_n_bits(x, v_b, v_scales, None, None, v_bias, N=Nkv, **options)
    return q, k, v, total


@op("MatMulNBitsQLoRA", domain=DOMAIN, fixed=("scales", "lora_a_scales", "lora_b_scales"))
def mat_mul_n_bits_q_lo_ra(
    x: Tensor, w: Tensor, scales: Tensor, lora_a: Tensor, lora_a_scales: Tensor, lora_b: Tensor,
    lora_b_scales: Tensor, *,
    K: int, N: int, accuracy_level: int = 0, bits: int = 4, block_size: int = 32,  # noqa: N803
    lora_bits: int = 8, lora_block_size: int = 32,
) -> Tensor:  # fmt: skip
    y = mat_mul_n_bits(x, w, scales, K=K, N=N, bits=bits, block_size=block_size)
    if not lora_b.numel():
        return y
    rank = lora_a_scales.numel() // -(-K // lora_block_size)
    options: dict[str, Any] = {"bits": lora_bits, "block_size": lora_block_size}
    down = mat_mul_n_bits(x, lora_a, lora_a_scales, K=K, N=rank, **options)
    return y + mat_mul_n_bits(down, lora_b, lora_b_scales, K=rank, N=N, **options)


@op("MatMulBlockQuantizedFp8Weight", domain=DOMAIN, fixed=("b_scale", "a_scale"))
def mat_mul_block_quantized_fp8_weight(
    a: Tensor,
    b: Any,
    b_scale: Tensor,
    a_scale: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    block_size: int = 128,
) -> Tensor:
    weight = widen(b)
    weight = weight * b_scale.repeat_interleave(block_size, 1)[:, : weight.shape[1]]
    if a_scale is not None:
        limit = torch.finfo(torch.float8_e4m3fn).max
        steps = (a / a_scale).clamp(-limit, limit)
        rounded = steps.detach().to(torch.float8_e4m3fn).to(steps.dtype)
        a = ((steps + (rounded - steps).detach()) * a_scale).to(a.dtype)
    return F.linear(a, weight.to(a.dtype), bias)


@op(
    "MatMulBlockQuantizedFp4Weight", domain=DOMAIN,
    fixed=("weight_scale", "weight_scale_2", "input_scale"),
)  # fmt: skip
def mat_mul_block_quantized_fp4_weight(
    a: Tensor,
    b: Any,
    weight_scale: Any,
    weight_scale_2: Tensor,
    input_scale: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    block_size: int = 16,
) -> Tensor:
    numbers = torch.tensor(_E2M1, device=a.device)[unpacked(b, 4)]
    scale = weight_scale.view(torch.float8_e4m3fn).float() * weight_scale_2
    weight = numbers * scale.repeat_interleave(block_size, 1)[:, : numbers.shape[1]]
    return F.linear(a, weight.to(a.dtype), bias)


_MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_E2M1 = (*_MAGNITUDES, *(-value for value in _MAGNITUDES))
"""The floats of a sign, two bits of exponent and one of fraction."""
