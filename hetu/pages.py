"""Memory for weights, whose pages the system is asked for many at once, or which are used again.

The first touch of each page interrupts the program, which for weights takes as long as reading
them from a file; a third of it is saved where the pages are there before.
"""

import ctypes
import mmap
import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock

import numpy as np

_LARGE = 1 << 18

_STEP = 1 << 26
"""Bytes of addresses, without memory, that the system is asked for at a time."""

_POPULATE_WRITE = 23
"""What Linux calls MADV_POPULATE_WRITE, since 5.14."""


def reserve(nbytes: int) -> np.ndarray:
    """So many bytes, whose pages are still to come. Raises `MemoryError` where there is no room."""
    if nbytes < _LARGE or sys.platform != "linux":
        return np.empty(nbytes, np.uint8)
    owner = _Range(nbytes)
    return at(owner.address, nbytes, owner)


def populate(memory: np.ndarray) -> None:
    """Ask for the pages of contiguous memory, where the system can; other threads run meanwhile."""
    if memory.nbytes >= _LARGE and sys.platform == "linux":
        start = memory.ctypes.data
        first = start - start % mmap.PAGESIZE
        _system().madvise(first, start + memory.nbytes - first, _POPULATE_WRITE)


def empty(nbytes: int) -> np.ndarray:
    """So many bytes, whose pages are there. Raises `MemoryError` where there is no room."""
    memory = reserve(nbytes)
    populate(memory)
    return memory


def at(address: int, nbytes: int, owner: object = None) -> np.ndarray:
    """The bytes from an address on; the owner of their memory lives as long as they do."""
    return np.asarray(_Bytes(address, nbytes, owner))


@contextmanager
def used_again() -> Iterator[None]:
    """Where pages that are let go wait to be used again, in any thread."""
    _SPACE.enter(1)
    try:
        yield
    finally:
        _SPACE.enter(-1)


class _Space:
    """Hands out ranges of addresses.

    Those that come back are joined and wait, in their order, while somebody uses them again. The
    rest of what the system gave last, whose pages nobody had, is taken when none of them fits.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._returned: deque[tuple[int, int]] = deque()
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._rest = 0, 0

    def enter(self, users: int) -> None:
        """Take note of so many more users."""
        with self._lock:
            self._users += users
            self._join()
            if not self._users:
                for begin, end in zip(self._begins, self._ends, strict=True):
                    _unmap(begin, end)
                self._begins, self._ends = [], []

    def take(self, size: int) -> int:
        """The address of a range of so many bytes, whole pages; a new one lies after the last.

        Raises `MemoryError` where the system has no room.
        """
        with self._lock:
            self._join()
            found = self._found(size)
            return self._new(size) if found is None else found

    def _new(self, size: int) -> int:
        begin, end = self._rest
        if end - begin < size:
            begin, end = _mapped(size)
            _unmap(*self._rest)
        self._rest = begin + size, end
        return begin

    def _found(self, size: int) -> int | None:
        """The beginning of a range among those that wait."""
        for index, (begin, end) in enumerate(zip(self._begins, self._ends, strict=True)):
            if end - begin >= size:
                self._begins[index] += size
                if end - begin == size:
                    del self._begins[index], self._ends[index]
                return begin
        return None

    def give(self, begin: int, size: int) -> None:
        """Take a range back, which nothing refers to any more.

        The garbage collector may call this at any moment, also while this thread has the lock.
        """
        if self._users:
            self._returned.append((begin, size))
        else:
            _unmap(begin, begin + size)

    def _join(self) -> None:
        """Put ranges that came back among those that wait."""
        while self._returned:
            begin, size = self._returned.popleft()
            index = bisect_left(self._begins, begin)
            self._begins.insert(index, begin)
            self._ends.insert(index, begin + size)
            for left in (index, index - 1):
                if 0 <= left < len(self._ends) - 1 and self._ends[left] == self._begins[left + 1]:
                    del self._ends[left], self._begins[left + 1]


_SPACE = _Space()

_FAILED = ctypes.c_void_p(-1).value


def _mapped(size: int) -> tuple[int, int]:
    """Where a new range of so many bytes or more begins and ends."""
    access, kind = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    for room in (max(size, _STEP), size):
        address = _system().mmap(None, room, access, kind, -1, 0)
        if address is not None and address != _FAILED:
            return address, address + room
    raise MemoryError(f"the system has no room for {size} bytes")


def _unmap(begin: int, end: int) -> None:
    if begin < end:
        _system().munmap(begin, end - begin)


class _Bytes:
    """What numpy takes for an array of bytes."""

    def __init__(self, address: int, nbytes: int, owner: object = None) -> None:
        self._owner = owner
        self.__array_interface__ = {
            "data": (address, False), "shape": (nbytes,), "typestr": "|u1", "version": 3
        }  # fmt: skip


class _Range:
    """A range of addresses of whole pages, which goes back with the last array on it."""

    def __init__(self, nbytes: int) -> None:
        self._size = -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.address = 0
        self.address = _SPACE.take(self._size)

    def __del__(self) -> None:
        if self.address:
            _SPACE.give(self.address, self._size)


@cache
def _system() -> ctypes.CDLL:
    library = ctypes.CDLL(None)
    place, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    library.mmap.argtypes = place, size, number, number, number, ctypes.c_long
    library.mmap.restype = place
    library.munmap.argtypes = place, size
    library.madvise.argtypes = place, size, number
    return library
