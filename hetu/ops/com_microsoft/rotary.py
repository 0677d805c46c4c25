"""Rotary positions of other kinds: of images and videos, computed on the way, behind a norm."""

import torch

from hetu.errors import ModelError
from hetu.ops.ai_onnx.attention import rotary_embedding
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("MRotaryEmbedding", domain=DOMAIN)
def m_rotary_embedding(
    input: Tensor,
    position_ids: Any,
    cos_cache: Tensor,
    sin_cache: Tensor,
    *,
    interleaved: bool = False,
    is_packed_batching: bool = False,
    mrope_layout: int = 0,
    mrope_section: Ints,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
    scale: float = 1.0,
) -> Tensor:
    half = cos_cache.shape[-1]
    if len(mrope_section) != 3 or sum(mrope_section) != half:
        raise ModelError(f"mrope_section {mrope_section} has to be three numbers with sum {half}")
    streams = torch.tensor(_streams(mrope_section, mrope_layout), device=input.device)
    places = position_ids[streams].movedim(0, -1)
    columns = torch.arange(half, device=input.device)
    heads = num_heads or (input.shape[-1] // (2 * half) if input.ndim == 3 else 0)
    return rotary_embedding(
        input, cos_cache[places, columns], sin_cache[places, columns], interleaved=interleaved,
        num_heads=heads, rotary_embedding_dim=rotary_embedding_dim,
    )  # fmt: skip


def _streams(section: Ints, layout: int) -> list[int]:
    """Which of time, height and width each pair of numbers turns by."""
    if not layout:
        return [stream for stream, count in enumerate(section) for _ in range(count)]
    return [place % 3 if place < 3 * section[place % 3] else 0 for place in range(sum(section))]


@op("GemmaRotaryEmbedding", domain=DOMAIN)
def gemma_rotary_embedding(
    emb: Tensor, q: Tensor, q_rot: Tensor, k: Tensor, k_rot: Tensor
) -> tuple[Tensor, Tensor]:
    sin, cos = emb.sin().to(q.dtype).unsqueeze(1), emb.cos().to(q.dtype).unsqueeze(1)
    return q * cos + q_rot * sin, k * cos + k_rot * sin
