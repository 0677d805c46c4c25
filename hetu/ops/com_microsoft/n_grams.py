"""Hashes of n-grams of tokens, over sequences that come in pieces."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@dataclass(frozen=True, slots=True)
class _Hashing:
    """How n-grams are hashed; `fill` stands where a sequence has no tokens."""

    multipliers: Tensor
    vocabulary_sizes: Tensor
    offsets: Tensor | None
    longest: int
    heads: int
    fill: int
    reset: int | None

    def read(
        self,
        ids: Tensor,
        past: Tensor | None,
        segments: Tensor | None,
        past_segments: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Hashes (batch, length, heads), and the tokens and segments behind what came before.

        Arithmetic wraps in the tokens' type.
        """
        before = self.longest - 1
        tokens = torch.cat((_or_full(past, ids, before, self.fill), ids), 1)
        grams = tokens.unfold(1, self.longest, 1).flip(-1)
        is_cut = torch.zeros_like(grams[..., 1:], dtype=torch.bool)
        if self.reset is not None:
            is_cut |= grams[..., 1:] == self.reset
        if segments is not None:
            first = segments[:, :1].expand(-1, before) if past_segments is None else past_segments
            segments = torch.cat((first, segments), 1)
            parts = segments.unfold(1, self.longest, 1).flip(-1)
            is_cut |= parts[..., 1:] != parts[..., :-1]
        is_gone = F.pad(is_cut.int().cumsum(-1) > 0, (1, 0))
        factors = self.multipliers[: self.longest].to(ids.dtype)
        products = torch.where(is_gone, self.fill, grams).to(ids.dtype) * factors
        return self._hashed(products), tokens, segments

    def _hashed(self, products: Tensor) -> Tensor:
        if bool((self.vocabulary_sizes <= 0).any()):
            raise ModelError("vocab_sizes has to be positive")
        mixes, mixed = [], products[..., 0]
        for n in range(1, self.longest):
            mixed = mixed ^ products[..., n]
            mixes += [mixed] * self.heads
        hashes = torch.stack(mixes, -1) % self.vocabulary_sizes
        return hashes if self.offsets is None else hashes + self.offsets


def _or_full(x: Tensor | None, like: Tensor, width: int, fill: int) -> Tensor:
    return like.new_full((len(like), width), fill) if x is None else x


@op("NGramHashMapping", domain=DOMAIN)
def n_gram_hash_mapping(
    input_ids: Any,
    multipliers: Any,
    vocab_sizes: Any,
    past_ids: Any | None = None,
    head_offsets: Any | None = None,
    eos_token_id: int | None = None,
    segment_ids: Any | None = None,
    *,
    max_ngram_size: int,
    n_head_per_ngram: int,
    pad_id: int,
    reset_on_eos: bool = False,
) -> tuple[Any, Any | None]:
    hashing = _Hashing(
        multipliers, vocab_sizes, head_offsets, max_ngram_size, n_head_per_ngram,
        pad_id if eos_token_id is None else eos_token_id, eos_token_id if reset_on_eos else None,
    )  # fmt: skip
    hashes, tokens, _ = hashing.read(input_ids, past_ids, segment_ids, None)
    return hashes, _last(tokens, max_ngram_size - 1)


def _last(x: Any, width: int) -> Any:
    return None if x is None else x[:, x.shape[1] - width :]


@op("VarlenNGramHashMapping", domain=DOMAIN)
def varlen_n_gram_hash_mapping(
    input_ids: Any, multipliers: Any, vocab_sizes: Any, cumulative_sequence_length: Ints,
    past_ids: Any | None = None, head_offsets: Any | None = None,
    eos_token_id: int | None = None, segment_ids: Any | None = None,
    past_segment_ids: Any | None = None, capture_count: Ints | None = None, *,
    max_ngram_size: int, n_head_per_ngram: int, pad_id: int, reset_on_eos: bool = False,
    state_update_capacity: int = 0,
) -> tuple[Any, Any | None, Any | None, Any | None]:  # fmt: skip
    hashing = _Hashing(
        multipliers, vocab_sizes, head_offsets, max_ngram_size, n_head_per_ngram,
        pad_id if eos_token_id is None else eos_token_id, eos_token_id if reset_on_eos else None,
    )  # fmt: skip
    results, updates, width = [], [], max_ngram_size - 1
    for i, (start, end) in enumerate(pairwise(cumulative_sequence_length)):
        rows, row = slice(start, end), slice(i, i + 1)
        parts = (past_ids, row), (segment_ids, rows), (past_segment_ids, row)
        given = [None if x is None else x[where].reshape(1, -1) for x, where in parts]
        hashes, tokens, segments = hashing.read(input_ids[None, rows], *given)
        last = slice(tokens.shape[1] - width, None)
        results.append(
            (hashes[0], tokens[:, last], None if segments is None else segments[:, last])
        )
        count = min(capture_count[i], state_update_capacity, end - start) if capture_count else 0
        states = tokens[0, 1:].unfold(0, width, 1)[:count]
        updates.append(F.pad(states, (0, 0, 0, state_update_capacity - count), value=pad_id))
    hashes, tokens, segments = zip(*results, strict=True)
    shown = None if segment_ids is None else torch.cat(segments)
    return torch.cat(hashes), torch.cat(tokens), shown, torch.stack(updates)
