"""Where the memory of results between nodes comes from."""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_MOST = (1 << 31) - 1
_USUAL_MMAP_MAX = 1 << 16


@cache
def keep_freed_memory() -> bool:
    """Let glibc keep what is freed for what is allocated next; whether it could be told so.

    By default large blocks are given back to the system at once: every run then gets its memory
    anew, page by page, which takes up to a third of the time of a convolutional network. What is
    kept is about what was in use at one time; more than 2 GiB at the end of the heap go back.
    This holds for the whole process, as if it had been started with `MALLOC_MMAP_MAX_=0` and
    `MALLOC_TRIM_THRESHOLD_=2147483647`.
    """
    mallopt = _mallopt()
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _MOST))


@contextmanager
def large_blocks_apart() -> Iterator[None]:
    """Let what is made within, to stay or for a moment only, leave no gaps among what is kept."""
    if not keep_freed_memory():
        yield
        return
    _mallopt()(_MMAP_MAX, _USUAL_MMAP_MAX)
    try:
        yield
    finally:
        _mallopt()(_MMAP_MAX, 0)


@cache
def _mallopt() -> Callable[[int, int], int]:
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return lambda option, value: 0
