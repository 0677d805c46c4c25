"""Which of two ways to compute the same is faster on this processor."""

from collections.abc import Callable
from time import perf_counter

MARGIN = 1.05
"""How many times as fast another way has to be: what is chosen shall not differ from process to
process where both are about equal, or other work disturbs the measurement."""

_TURNS = 6


def is_faster(usual: Callable[[], object], other: Callable[[], object]) -> bool:
    """Whether `other` is faster than the `usual` way; they take turns, the fastest of each count."""
    usual(), other()
    turns = [(_seconds(usual), _seconds(other)) for _ in range(_TURNS)]
    return min(a for a, _ in turns) > MARGIN * min(b for _, b in turns)


def _seconds(function: Callable[[], object]) -> float:
    start = perf_counter()
    function()
    return perf_counter() - start
