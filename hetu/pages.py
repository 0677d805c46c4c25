"""Memory for weights, whose pages the system is asked for many at once.

The first touch of each page interrupts the program, which for weights takes as long as reading
them from a file; a third of it is saved where the pages are there before.
"""

import ctypes
import mmap
from collections.abc import Callable
from functools import cache

import numpy as np

_LARGE = 1 << 18

_POPULATE_WRITE = 23
"""What Linux calls MADV_POPULATE_WRITE, since 5.14."""


def reserve(nbytes: int) -> np.ndarray:
    """So many bytes, whose pages are still to come. Raises `MemoryError` where there is no room."""
    if nbytes < _LARGE or not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.empty(nbytes, np.uint8)
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        return np.frombuffer(mmap.mmap(-1, nbytes, flags=flags), np.uint8)
    except (OSError, OverflowError):
        return np.empty(nbytes, np.uint8)


def populate(memory: np.ndarray) -> None:
    """Ask for the pages of contiguous memory, where the system can; other threads run meanwhile."""
    if memory.nbytes >= _LARGE:
        start = memory.ctypes.data
        first = start - start % mmap.PAGESIZE
        _advise()(first, start + memory.nbytes - first, _POPULATE_WRITE)


def empty(nbytes: int) -> np.ndarray:
    """So many bytes, whose pages are there. Raises `MemoryError` where there is no room."""
    memory = reserve(nbytes)
    populate(memory)
    return memory


@cache
def _advise() -> Callable[[int, int, int], int]:
    try:
        advise = ctypes.CDLL(None).madvise
    except (AttributeError, OSError, TypeError):  # another system
        return lambda start, nbytes, advice: -1
    advise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return advise
