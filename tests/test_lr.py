"""Learning-rate schedules: sequences written out, and torch's plateau schedule."""

import itertools

import numpy as np
import pytest
import torch

from hetu.errors import UsageError
from hetu.optim import lr


def rates(scheduler: lr.FixedScheduler, count: int) -> list[float]:
    return [scheduler.step() for _ in range(count)]


def test_fixed() -> None:
    scheduler = lr.FixedScheduler(0.3)
    assert rates(scheduler, 3) == [0.3, 0.3, 0.3]
    assert scheduler.get() == scheduler.learning_rate == 0.3


def test_step() -> None:
    scheduler = lr.StepScheduler(0.7, 2, gamma=0.3)
    once = 0.7 * 0.3
    assert rates(scheduler, 6) == [0.7, 0.7, once, once, once * 0.3, once * 0.3]
    assert scheduler.get() == scheduler.learning_rate == once * 0.3


def test_step_of_one() -> None:
    assert rates(lr.StepScheduler(8.0, 1, 0.5), 4) == [8, 4, 2, 1]


def test_step_multiplies_again_and_again() -> None:
    """A power of gamma is rounded differently."""
    expected = [0.1]
    for _ in range(29):
        expected.append(expected[-1] * 0.9)
    assert expected[-1] != 0.1 * 0.9**29
    assert rates(lr.StepScheduler(0.1, 1, 0.9), 30) == expected


def test_step_ends() -> None:
    assert rates(lr.StepScheduler(1.0, 1, 0.1, ending=0.05), 4) == [1, 0.1, 0.05, 0.05]


def test_multi_step() -> None:
    scheduler = lr.MultiStepScheduler(0.7, [1, 3, 4], gamma=0.3)
    a, b, c = 0.7 * 0.3, 0.7 * 0.3 * 0.3, 0.7 * 0.3 * 0.3 * 0.3
    assert rates(scheduler, 7) == [0.7, a, a, b, c, c, c]
    assert scheduler.get() == c


def test_exponential() -> None:
    scheduler = lr.ExponentialScheduler(0.7, gamma=0.3)
    assert scheduler.get() == 0.7
    assert rates(scheduler, 3) == [0.7, 0.7 * 0.3, 0.7 * 0.3 * 0.3]
    assert scheduler.get() == 0.7 * 0.3 * 0.3 * 0.3


def test_exponential_ends() -> None:
    assert rates(lr.ExponentialScheduler(1.0, 0.1, ending=0.05), 4) == [1, 0.1, 0.05, 0.05]


def test_plateau_by_hand() -> None:
    """Two steps without progress are borne, the third reduces; two steps then do not count."""
    scheduler = lr.ReduceOnPlateauScheduler(1.0, factor=0.5, patience=2, cooldown=2)
    assert [scheduler.step(value) for value in [3, 2] + [2] * 9] == [
        1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25,
    ]  # fmt: skip


def test_plateau_ends() -> None:
    scheduler = lr.ReduceOnPlateauScheduler(1.0, patience=0, ending=0.05)
    assert [scheduler.step(1.0) for _ in range(4)] == [1, 0.1, 0.05, 0.05]


def test_plateau_starts_with_nan() -> None:
    scheduler = lr.ReduceOnPlateauScheduler(1.0, patience=1, factor=0.5)
    values = [float("nan"), 2.0, 1.0, 0.5]
    assert [scheduler.step(value) for value in values] == [1, 1, 1, 1]
    assert scheduler.best == 0.5


@pytest.mark.parametrize(
    ("mode", "threshold_mode", "cooldown", "patience"),
    list(itertools.product(["min", "max"], ["rel", "abs"], [0, 3], [0, 2])),
)
def test_plateau_like_torch(mode: str, threshold_mode: str, cooldown: int, patience: int) -> None:
    options = {
        "mode": mode,
        "factor": 0.7,
        "patience": patience,
        "threshold": 0.05,
        "threshold_mode": threshold_mode,
        "cooldown": cooldown,
    }
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=1e-3, eps=0, **options)
    ours = lr.ReduceOnPlateauScheduler(0.3, ending=1e-3, **options)
    trend = -0.05 if mode == "min" else 0.05
    values = np.random.default_rng(0).normal(trend * np.arange(60), 0.4)
    reductions = set()
    for value in values:
        theirs.step(value)
        assert ours.step(value) == optimizer.param_groups[0]["lr"]
        reductions.add(ours.get())
    assert len(reductions) > 3


def test_all_are_recognised_as_schedules() -> None:
    for scheduler in (
        lr.StepScheduler(1.0, 1),
        lr.MultiStepScheduler(1.0, []),
        lr.ExponentialScheduler(1.0),
        lr.ReduceOnPlateauScheduler(1.0),
    ):
        assert isinstance(scheduler, lr.FixedScheduler)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: lr.FixedScheduler(-1.0), "-1.0"),
        (lambda: lr.StepScheduler(1.0, 0), "at least 1"),
        (lambda: lr.MultiStepScheduler(1.0, [0, 1]), "increase"),
        (lambda: lr.MultiStepScheduler(1.0, [2, 2]), "increase"),
        (lambda: lr.ReduceOnPlateauScheduler(1.0, mode="less"), "'less'"),
        (lambda: lr.ReduceOnPlateauScheduler(1.0, threshold_mode="sum"), "'sum'"),
    ],
)
def test_wrong_use(make: object, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()  # pyright: ignore[reportCallIssue]
