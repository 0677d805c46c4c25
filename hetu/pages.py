"""Memory for weights, whose pages the system is asked for all at once.

The first touch of each page interrupts the program, which for weights takes as long as reading
them from a file; a third of it is saved where the pages are there before.
"""

import mmap

import numpy as np

_LARGE = 1 << 18


def empty(nbytes: int) -> np.ndarray:
    """So many bytes. Raises `MemoryError` where there is no room."""
    populate = getattr(mmap, "MAP_POPULATE", None)
    if nbytes < _LARGE or populate is None:
        return np.empty(nbytes, np.uint8)
    try:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | populate
        return np.frombuffer(mmap.mmap(-1, nbytes, flags=flags), np.uint8)
    except (OSError, OverflowError):
        return np.empty(nbytes, np.uint8)
