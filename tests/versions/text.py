"""Calls of string operators."""

from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example

WORDS = ("monday", "Tuesday", "", "a", "ÄÖ", "été", "日本", "a b", "MONDAY", "tuesday")
TEXTS = (
    "a,b,,c",
    "",
    ",",
    "a",
    "one  two three",
    " x,y ",
    "a--b-c",
    "ab,ab,ab",
    ",,",
    "日,本",
    " ",
)
PATTERNS = ("", "a*", "[a-c,]+", r"\w+day", "(?i)monday", ".", r"\pL+", "a|b|.*c", "[^a]+")


def choose(random: Random, options: Any, *dims: int) -> np.ndarray:
    """An array of strings."""
    return np.asarray(random.source.choice(np.array(options, object), dims), object)


@example("StringConcat")
def string_concat(random: Random, version: int) -> Call:
    dims = random.shape(random.integer(0, 3))
    shapes = [dims, random.broadcastable(dims)]
    return Call([choose(random, WORDS, *shapes[i]) for i in random.choice((0, 1), (1, 0))])


@example("StringSplit")
def string_split(random: Random, version: int) -> Call:
    x = choose(random, TEXTS, *random.shape(random.integer(0, 3)))
    delimiter = random.choice({}, *({"delimiter": text} for text in ("", ",", "-", "ab", "--")))
    limit = random.choice({}, {"maxsplit": random.integer(1, 3)})
    return Call([x], delimiter | limit, outputs=2)


@example("StringNormalizer")
def string_normalizer(random: Random, version: int) -> Call:
    x = choose(random, WORDS, *random.choice((random.integer(1, 6),), (1, random.integer(1, 6))))
    attributes = {
        "case_change_action": random.choice("NONE", "LOWER", "UPPER"),
        "is_case_sensitive": random.integer(0, 1),
        # the default of ONNX Runtime, en_US, is not installed everywhere
        "locale": "C.UTF-8",
    }
    stops = {"stopwords": sorted(set(choose(random, WORDS, random.integer(1, 5))))}
    # a constant, because onnx's shape inference wants to know that the first of two dimensions is 1
    return Call([x], attributes | random.choice({}, stops), constants=(0,))


@example("RegexFullMatch")
def regex_full_match(random: Random, version: int) -> Call:
    x = choose(random, (*WORDS, *TEXTS), *random.shape(random.integer(0, 3)))
    return Call([x], {"pattern": random.choice(*PATTERNS)})


@example("TfIdfVectorizer")
def tf_idf_vectorizer(random: Random, version: int) -> Call:
    is_text = random.integer(0, 1)
    vocabulary: Any = WORDS[:4] if is_text else range(4)
    grams = [ngrams(random, vocabulary, n) for n in range(1, random.integer(1, 3) + 1)]
    pool = [token for listed in grams for gram in listed for token in gram]
    starts = np.cumsum([0, *(len(g) * n for n, g in enumerate(grams, 1))])[:-1].tolist()
    count, longest = sum(map(len, grams)), len(grams)
    dims = random.shape(random.integer(1, 2), high=8)
    dtype = random.choice(np.int64, np.int32)
    x = choose(random, WORDS[:5], *dims) if is_text else random.integers(*dims, low=0, dtype=dtype)
    attributes = {
        "mode": random.choice("TF", "IDF", "TFIDF"),
        "ngram_indexes": random.permutation(count + 2)[:count],
        "ngram_counts": starts,
        "pool_strings" if is_text else "pool_int64s": pool,
        "max_skip_count": random.integer(0, 3),
        "min_gram_length": random.integer(1, longest),
        "max_gram_length": longest,
    }
    weights = {"weights": random.floats(count).tolist()}
    return Call([x], attributes | random.choice({}, weights), rtol=1e-6, atol=0)


def ngrams(random: Random, vocabulary: Any, n: int) -> list[tuple[Any, ...]]:
    """Some different n-grams."""
    drawn = (
        tuple(random.choice(*vocabulary) for _ in range(n)) for _ in range(random.integer(1, 6))
    )
    return list(dict.fromkeys(drawn))
