"""Items are shared out among threads: each is taken once, and an error ends it for all."""

from collections.abc import Iterator
from threading import Barrier, get_ident

import pytest

from hetu.threads import share


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_item_is_taken_once(threads: int) -> None:
    taken: list[int] = []
    share(range(1000), taken.extend, threads)
    assert sorted(taken) == list(range(1000))


def test_several_threads_work_at_a_time() -> None:
    barrier, seen = Barrier(3, timeout=60), set[int]()

    def work(items: Iterator[int]) -> None:
        for _ in items:
            barrier.wait()  # until two others have an item, too
            seen.add(get_ident())

    share(range(6), work, 3)
    assert len(seen) == 3


@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_ends_it(threads: int) -> None:
    taken: list[int] = []

    def work(items: Iterator[int]) -> None:
        for item in items:
            if item == 7:
                raise KeyError(item)
            taken.append(item)

    rest = iter(range(1_000_000))
    with pytest.raises(KeyError):
        share(rest, work, threads)
    assert 7 not in taken and next(rest, None) is None
