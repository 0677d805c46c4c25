"""Strings."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from hetu.errors import ModelError, show
from hetu.ops.kinds import Context, Floats, Indices, Ints, Mask, Strings, Strs, Tensor
from hetu.ops.lookup import positions
from hetu.ops.prepared import prepared
from hetu.ops.regex import regex
from hetu.ops.registry import op

CASES = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}


@op("StringConcat", since=20)
def string_concat(x: Strings, y: Strings) -> Strings:
    return np.asarray(x + y, dtype=object)


@op("StringSplit", since=20)
def string_split(
    x: Strings, *, delimiter: str = "", maxsplit: int | None = None
) -> tuple[Strings, Indices]:
    limit = -1 if maxsplit is None else maxsplit
    # no text has no parts: ONNX does not say, ONNX Runtime does so
    parts = [text.split(delimiter or None, limit) if text else [] for text in x.reshape(-1)]
    counts = np.array([len(part) for part in parts], np.int64)
    width = int(counts.max(initial=0))
    table = np.full((len(parts), width), "", dtype=object)
    for row, part in zip(table, parts, strict=True):
        row[: len(part)] = part
    return table.reshape(*x.shape, width), torch.from_numpy(counts.reshape(x.shape))


@op("StringNormalizer", since=10)
def string_normalizer(
    x: Strings,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str = "",
    stopwords: Strs = (),
) -> Strings:
    if case_change_action not in CASES:
        raise ModelError(f"case_change_action {show(case_change_action)} is not one of ONNX's")
    fold = str if is_case_sensitive else str.lower
    stops = set(map(fold, stopwords))
    change = CASES[case_change_action]
    kept = [change(text) for text in x.reshape(-1) if fold(text) not in stops]
    return np.array(kept or [""], dtype=object).reshape(*x.shape[:-1], -1)


@op("RegexFullMatch", since=20)
def regex_full_match(x: Strings, *, pattern: str = "", ctx: Context) -> Mask:
    full_match = regex(pattern).fullmatch
    matches = [full_match(text) is not None for text in x.reshape(-1)]
    return torch.tensor(matches, dtype=torch.bool, device=ctx.device).reshape(x.shape)


@dataclass(frozen=True, slots=True)
class Pool:
    """The n-grams, `size` in number, as a prefix tree.

    A token's number is its position in `tokens`, `len(tokens)` if it is in no n-gram. Prefix `p`
    followed by token `t` is the prefix whose number is the position of `p * (len(tokens) + 1) + t`
    in the `steps` of its length. `ends` tells which n-gram each prefix is, or `size`.
    """

    tokens: Any
    steps: tuple[Tensor, ...]
    ends: tuple[Tensor, ...]
    size: int


@op("TfIdfVectorizer", since=9)
def tf_idf_vectorizer(
    x: Any,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: Ints,
    ngram_indexes: Ints,
    pool_int64s: Ints = (),
    pool_strings: Strs = (),
    weights: Floats = (),
    ctx: Context,
) -> Tensor:
    device = x.device if isinstance(x, Tensor) else ctx.device
    pool = _pool(pool_strings or pool_int64s, ngram_counts, device=device)
    tokens = positions(x.long() if isinstance(x, Tensor) else x, pool.tokens, device)
    lengths = range(min_gram_length, max_gram_length + 1)
    counts = _counted(pool, torch.atleast_2d(tokens), lengths, max_skip_count)
    if mode == "IDF":
        counts = (counts > 0).float()
    if mode != "TF" and weights:
        counts = counts * counts.new_tensor(weights)
    result = counts.new_zeros(len(counts), max(ngram_indexes) + 1)
    result = result.index_add(1, torch.tensor(ngram_indexes, device=device), counts)
    return result.reshape(*tokens.shape[:-1], -1)


def _counted(pool: Pool, rows: Tensor, lengths: range, max_skip_count: int) -> Tensor:
    """How often each n-gram of the pool is in each row, (N, size)."""
    counts = torch.zeros(len(rows), pool.size + 1, device=rows.device)
    for skip in range(max_skip_count + 1):
        for length, found in enumerate(_walk(pool, rows, skip + 1, lengths.stop - 1), 1):
            # skips make no difference to a single token
            if length in lengths and (length > 1 or not skip):
                counts = counts.scatter_add(1, found, torch.ones_like(found, dtype=counts.dtype))
    return counts[:, :-1]


def _walk(pool: Pool, rows: Tensor, distance: int, longest: int) -> Iterator[Tensor]:
    """For each length, the n-gram that starts at each token, every `distance`-th token taken."""
    base = len(pool.tokens) + 1
    prefix = torch.zeros_like(rows)
    for n, (steps, ends) in enumerate(zip(pool.steps[:longest], pool.ends, strict=False)):
        token = rows[:, n * distance :]
        step = prefix[:, : token.shape[1]] * base + token
        place = torch.searchsorted(steps, step)
        is_known = steps[place.clamp(max=len(steps) - 1)] == step
        prefix = torch.where(is_known, place, len(steps))
        yield ends[prefix]


@prepared
def _pool(items: Ints | Strs, starts: Ints, *, device: torch.device) -> Pool:
    array = np.array(items, dtype=object if isinstance(items[0], str) else np.int64)
    tokens, codes = np.unique(array, return_inverse=True)
    bounds = pairwise((*starts, len(items)))
    grams = [codes[a:b].reshape(-1, n) for n, (a, b) in enumerate(bounds, 1)]
    first = np.cumsum([0, *map(len, grams)])
    prefixes = [np.zeros(len(gram), np.int64) for gram in grams]
    steps, ends = [], []
    for n in range(len(grams)):
        keys = [p * (len(tokens) + 1) + gram[:, n] for p, gram in zip(prefixes, grams, strict=True)]
        steps.append(np.unique(np.concatenate(keys)))
        prefixes = [np.searchsorted(steps[n], key) for key in keys]
        ends.append(np.full(len(steps[n]) + 1, first[-1]))
        ends[n][prefixes[0]] = np.arange(first[n], first[n + 1])
        prefixes, grams = prefixes[1:], grams[1:]
    return Pool(
        tuple(tokens) if array.dtype == object else torch.from_numpy(tokens),
        tuple(torch.from_numpy(step).to(device) for step in steps),
        tuple(torch.from_numpy(end).to(device) for end in ends),
        int(first[-1]),
    )
