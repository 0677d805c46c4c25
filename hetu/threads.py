"""Work that several threads share."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def share(items: Iterable[_T], work: Callable[[Iterator[_T]], None], threads: int) -> None:
    """Let so many threads, this one among them, `work` on items that each takes from the rest.

    The items are a list, or of another kind that is no generator, which one thread alone may ask
    for more. Raises what went wrong in one of them; then the others take no more.
    """
    rest = iter(items)

    def take() -> None:
        try:
            work(rest)
        finally:
            deque(rest, 0)

    if threads < 2:
        take()
        return
    with ThreadPoolExecutor(threads - 1, "hetu") as pool:
        others = [pool.submit(take) for _ in range(threads - 1)]
        take()
    for other in others:
        other.result()
