"""Normalizations with what ONNX Runtime fuses into them: residuals, biases, embeddings, SiLU."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.ai_onnx.norm import layer_normalization, rms_normalization
from hetu.ops.kinds import Any, DType, Tensor
from hetu.ops.registry import op
from hetu.types import FLOAT32

DOMAIN = "com.microsoft"


@op("SkipLayerNormalization", domain=DOMAIN)
def skip_layer_normalization(
    input: Tensor,
    skip: Tensor,
    gamma: Tensor,
    beta: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    x = _sum(input, skip, bias)
    y, mean, inverse = torch.native_layer_norm(x, x.shape[-1:], gamma, beta, epsilon)
    return y, mean.float(), inverse.float(), x


@op("SkipSimplifiedLayerNormalization", domain=DOMAIN)
def skip_simplified_layer_normalization(
    input: Tensor,
    skip: Tensor,
    gamma: Tensor,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-12,
    n_outputs: int,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    x = _sum(input, skip, bias)
    y = rms_normalization(x, gamma, epsilon=epsilon)
    # the mean plays no part in this normalization
    return y, None, _inverse_root(x, -1, epsilon) if n_outputs > 2 else None, x


def _sum(input: Tensor, skip: Tensor, bias: Tensor | None) -> Tensor:
    x = input + skip
    return x if bias is None else x + bias


def _inverse_root(x: Tensor, axis: int, epsilon: float) -> Tensor:
    """The inverse root of the mean square, which only serves other runtimes' gradients."""
    inner = tuple(range(axis % x.ndim, x.ndim))
    exact = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    return (exact.square().mean(inner, keepdim=True) + epsilon).rsqrt()


@op("SimplifiedLayerNormalization")
def simplified_layer_normalization(
    x: Tensor,
    scale: Tensor,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: DType | None = None,
    n_outputs: int,
) -> tuple[Tensor, Tensor | None]:
    y = rms_normalization(x, scale, axis=axis, epsilon=epsilon)
    kind = (stash_type or FLOAT32).torch
    return y, _inverse_root(x, axis, epsilon).to(kind) if n_outputs > 1 else None


@op("LayerNormalization")
def layer_normalization_1(
    x: Tensor,
    scale: Tensor,
    b: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: DType | None = None,
    n_outputs: int,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    # ONNX Runtime fuses it into models older than ONNX's own operator
    return layer_normalization(
        x, scale, b, axis=axis, epsilon=epsilon, stash_type=stash_type, n_outputs=n_outputs
    )


@op("EmbedLayerNormalization", domain=DOMAIN)
def embed_layer_normalization(
    input_ids: Any,
    segment_ids: Any | None,
    word_embedding: Tensor,
    position_embedding: Tensor,
    segment_embedding: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    mask: Any | None = None,
    position_ids: Any | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int | None = None,
) -> tuple[Tensor, Any | None, Tensor | None]:
    if position_ids is None:
        positions = position_embedding[: input_ids.shape[1]]
    else:
        positions = F.embedding(position_ids, position_embedding)
    total = F.embedding(input_ids, word_embedding) + positions
    if segment_ids is not None and segment_embedding is not None:
        total = total + F.embedding(segment_ids, segment_embedding)
    if mask is None:
        lengths = input_ids.new_zeros(input_ids.shape[0])
    else:
        lengths = (mask == 1).sum(1).to(mask.dtype)
    return F.layer_norm(total, total.shape[-1:], gamma, beta, epsilon), lengths, total


@op("GroupNorm", domain=DOMAIN)
def group_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    *,
    activation: int,
    channels_last: bool = True,
    epsilon: float = 1e-5,
    groups: int,
) -> Tensor:
    kind = torch.promote_types(x.dtype, gamma.dtype)
    channels_first = (x.movedim(-1, 1) if channels_last else x).to(kind)
    y = F.group_norm(channels_first, groups, gamma.to(kind), beta.to(kind), epsilon)
    y = (F.silu(y) if activation else y).to(x.dtype)
    return y.movedim(1, -1) if channels_last else y


@op("SkipGroupNorm", domain=DOMAIN)
def skip_group_norm(
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    skip: Tensor,
    bias: Tensor | None = None,
    *,
    activation: int,
    channels_last: bool = True,
    epsilon: float = 1e-5,
    groups: int,
) -> tuple[Tensor, Tensor | None]:
    spread = (slice(None), None, None) if channels_last else (slice(None), slice(None), None, None)
    total = x + (skip[spread] if skip.ndim == 2 else skip)
    if bias is not None:
        total = total + (bias if channels_last else bias[:, None, None])
    y = group_norm(
        total, gamma, beta, activation=activation, channels_last=channels_last, epsilon=epsilon,
        groups=groups,
    )  # fmt: skip
    return y, total
