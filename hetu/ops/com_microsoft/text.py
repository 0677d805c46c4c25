"""Text."""

from itertools import pairwise

import numpy as np

from hetu.ops.kinds import Strings, Strs
from hetu.ops.regex import regex
from hetu.ops.registry import op

START, END = "\x02", "\x03"


@op("Tokenizer", domain="com.microsoft")
def tokenizer(
    x: Strings,
    *,
    mark: int,
    mincharnum: int,
    pad_value: str,
    separators: Strs = (),
    tokenexp: str = "",
) -> Strings:
    """The tokens of each text: what `tokenexp` matches, or what is between separators.

    An empty separator makes every character a token. With `mark`, texts are put between two marks.
    """
    texts = x.reshape(-1)
    found = [_matches(t, tokenexp) if tokenexp else _split(t, separators) for t in texts]
    kept = [[token for token in tokens if len(token) >= max(1, mincharnum)] for tokens in found]
    if mark and any(kept):
        kept = [[START, *tokens, END] for tokens in kept]
    width = max(map(len, kept), default=0)
    padded = [tokens + [pad_value] * (width - len(tokens)) for tokens in kept]
    return np.array(padded, dtype=object).reshape(*x.shape, -1 if width else 0)


def _matches(text: str, pattern: str) -> list[str]:
    return [match.group(0) for match in regex(pattern).finditer(text)]


def _split(text: str, separators: Strs) -> list[str]:
    """The text cut at the first separator, its parts at the second, and so on."""
    parts = [text]
    for separator in separators:
        parts = [piece for part in parts for piece in _cut(part, separator)]
    return parts


def _cut(text: str, separator: str) -> list[str]:
    if not separator:
        return list(text)
    spans = [match.span() for match in regex(separator).finditer(text)]
    edges = [(0, 0), *spans, (len(text), len(text))]
    return [text[end:start] for (_, end), (start, _) in pairwise(edges)]
