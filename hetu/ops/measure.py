"""Which of two ways to compute the same is faster on this processor."""

from collections.abc import Callable
from time import perf_counter

MARGIN = 1.25
"""How many times as fast another way has to be: processes that choose differently differ in bits,
which measurements of about equal ways, or beside other work, must not cause."""

_TURNS = 6


def is_much_faster(usual: Callable[[], object], other: Callable[[], object]) -> bool:
    """Whether `other` is worth leaving the `usual` way; the fastest of some turns each count."""
    turns = [(_seconds(usual), _seconds(other)) for _ in range(_TURNS)]
    return min(a for a, _ in turns) > MARGIN * min(b for _, b in turns)


def _seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start
