"""The seed of everything random that is not given a seed of its own.

`state` is the one object that holds it. Executors built without a seed take `next_seed()`, data
loaders shuffle by `get_seed()`.
"""

import time
from dataclasses import dataclass

import numpy as np

from hetu.errors import UsageError, show


@dataclass(slots=True)
class SeedState:
    """A seed and how far the sequence of what was drawn from it has come."""

    seed: int
    seqnum: int = 0


state = SeedState(time.time_ns() % 2**31)


def set_random_seed(seed: int) -> None:
    """Start anew from a seed; until this is called, the seed comes from the clock."""
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise UsageError(f"a seed is an integer that is not negative, not {show(seed)}")
    state.seed, state.seqnum = int(seed), 0


def get_seed() -> int:
    """The seed in force."""
    return state.seed


def get_seed_seqnum() -> int:
    """The number of the next draw."""
    return state.seqnum


def get_seed_status() -> tuple[int, int]:
    """The seed and the number of the next draw."""
    return state.seed, state.seqnum


def reset_seed_seqnum() -> None:
    """Go back to the first draw of the seed."""
    state.seqnum = 0


def step_seqnum(n: int = 1) -> None:
    """Pass over `n` draws."""
    state.seqnum += n


def get_np_rand(step: int | None = None) -> np.random.RandomState:
    """A numpy random state for the next draw, which then counts as `step` draws."""
    sequence = np.random.SeedSequence(get_seed_status())
    step_seqnum(step or 0)
    return np.random.RandomState(np.random.MT19937(sequence))


def next_seed() -> int:
    """A seed for something that is made now: every call gives another one."""
    sequence = np.random.SeedSequence(get_seed_status())
    step_seqnum(1)
    return int(sequence.generate_state(1)[0])
