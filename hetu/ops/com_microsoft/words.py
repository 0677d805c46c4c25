"""Words and tokens: embeddings, hashes, repetitions."""

from collections.abc import Iterable

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.kinds import Any, Context, HostTensor, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("WordConvEmbedding", domain=DOMAIN)
def word_conv_embedding(
    sequence: Any,
    w: Tensor,
    b: Tensor,
    c: Tensor,
    *,
    char_embedding_size: int | None = None,
    conv_window_size: int | None = None,
    embedding_size: int | None = None,
) -> Tensor:
    """Words are rows of characters, 0 where there are none; an empty word is all zero."""
    width = w.shape[2]
    features = torch.tanh(F.conv2d(F.embedding(sequence, c)[:, None], w, b)).squeeze(-1)
    lengths = (sequence > 0).sum(1, keepdim=True) * (sequence[:, :1] > 0)
    windows = torch.arange(features.shape[2], device=sequence.device)
    is_window = windows <= (lengths - width).clamp(min=0)
    y = torch.where(is_window[:, None], features, -torch.inf).amax(2)
    return torch.where(lengths > 0, y, 0)


@op("NGramRepeatBlock", domain=DOMAIN)
def n_gram_repeat_block(input_ids: Any, scores: Tensor, *, ngram_size: int) -> Tensor:
    if input_ids.shape[1] < ngram_size:
        return scores
    grams = input_ids.unfold(1, ngram_size, 1)
    end = input_ids[:, None, input_ids.shape[1] - ngram_size + 1 :]
    is_repeated = (grams[..., :-1] == end).all(-1).int()
    counts = torch.zeros_like(scores, dtype=torch.int32)
    return scores.masked_fill(counts.scatter_add(1, grams[..., -1], is_repeated) > 0, -torch.inf)


@op("BifurcationDetector", domain=DOMAIN)
def bifurcation_detector(
    src_tokens: Ints,
    cur_tokens: Ints,
    prev_suffix_match_idx: HostTensor,
    pred_tokens: Ints | None = None,
    *,
    max_ngram_size: int = 3,
    min_ngram_size: int = 1,
) -> tuple[HostTensor, HostTensor]:
    tokens = cur_tokens
    if pred_tokens is not None:
        start = int(prev_suffix_match_idx.item())
        pairs = zip(pred_tokens, src_tokens[start:], strict=False)
        agreed = next((i for i, (a, b) in enumerate(pairs) if a != b), len(src_tokens) - start)
        tokens = (*tokens, *pred_tokens[: agreed + 1])
    match = _suffix_end(src_tokens, tokens, range(min_ngram_size, max_ngram_size + 1))
    return torch.tensor(tokens), torch.full_like(prev_suffix_match_idx, match)


def _suffix_end(source: Ints, tokens: Ints, sizes: Iterable[int]) -> int:
    """Where in `source` the only appearance of a suffix of `tokens` ends, or -1."""
    end = -1
    for size in sizes:
        if size > len(tokens):
            break
        suffix = tokens[len(tokens) - size :]
        starts = [i for i in range(len(source) - size + 1) if source[i : i + size] == suffix]
        if not starts:
            break
        end = starts[0] + size
        if end >= len(source):
            break
        if len(starts) > 1:
            end = -1
    return end


@op("MurmurHash3", domain=DOMAIN)
def murmur_hash3(x: Any, *, positive: bool = True, seed: int = 0, ctx: Context) -> Any:
    if isinstance(x, np.ndarray):
        texts = (text.encode("utf-8", "surrogateescape") for text in x.reshape(-1))
        hashes = torch.tensor([_hashed_bytes(text, seed) for text in texts], dtype=torch.int64)
        hashes = hashes.reshape(x.shape).to(ctx.device)
    else:
        words = x.contiguous().reshape(-1).view(torch.int32).reshape(*x.shape, -1).long() & _MASK
        hashes = _finished(_mixed(words.unbind(-1), seed), x.element_size())
    if positive:
        return hashes.to(torch.uint32)
    return (hashes - ((hashes >> 31) << 32)).to(torch.int32)


_MASK = 0xFFFFFFFF


def _hashed_bytes(text: bytes, seed: int) -> int:
    whole = len(text) // 4 * 4
    words = (int.from_bytes(text[i : i + 4], "little") for i in range(0, whole, 4))
    hashed = _mixed(words, seed)
    if whole < len(text):
        hashed ^= _scrambled(int.from_bytes(text[whole:], "little"))
    return _finished(hashed, len(text))


# Appleby's MurmurHash3_x86_32, on numbers or on tensors, whose products may wrap beyond 64 bits.


def _mixed(words: Iterable[Any], seed: int) -> Any:
    hashed: Any = seed & _MASK
    for word in words:
        hashed = (_rotated(hashed ^ _scrambled(word), 13) * 5 + 0xE6546B64) & _MASK
    return hashed


def _scrambled(word: Any) -> Any:
    return _rotated(word * 0xCC9E2D51 & _MASK, 15) * 0x1B873593 & _MASK


def _rotated(word: Any, count: int) -> Any:
    return (word << count | word >> 32 - count) & _MASK


def _finished(hashed: Any, length: int) -> Any:
    hashed = hashed ^ length
    hashed = (hashed ^ hashed >> 16) * 0x85EBCA6B & _MASK
    hashed = (hashed ^ hashed >> 13) * 0xC2B2AE35 & _MASK
    return hashed ^ hashed >> 16
