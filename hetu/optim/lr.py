"""Learning-rate schedules.

Nothing advances a schedule by itself: a training loop calls `step` once for each step it makes.
Rates are multiplied again and again, so that they are equal to those of the same loop written out.
"""

import math
from collections.abc import Sequence

from hetu.errors import UsageError, show


class FixedScheduler:
    """A constant learning rate, and the base of all schedules."""

    def __init__(self, learning_rate: float) -> None:
        if learning_rate < 0:
            raise UsageError(f"a learning rate is not negative: {show(learning_rate)}")
        self.learning_rate = learning_rate

    def get(self) -> float:
        """The learning rate in force."""
        return self.learning_rate

    def step(self) -> float:
        """Go to the next step; returns the learning rate for it."""
        return self.learning_rate


class StepScheduler(FixedScheduler):
    """Multiplies by `gamma` after every `step_size` steps, down to `ending`."""

    def __init__(
        self, learning_rate: float, step_size: int, gamma: float = 0.1, ending: float = 1e-8
    ) -> None:
        super().__init__(learning_rate)
        if step_size < 1:
            raise UsageError(f"step_size is at least 1: {show(step_size)}")
        self.step_size = step_size
        self.gamma = gamma
        self.ending = ending
        self._calls = 0

    def step(self) -> float:
        """See `FixedScheduler`."""
        if self._calls > 0 and self._calls % self.step_size == 0:
            self.learning_rate = max(self.learning_rate * self.gamma, self.ending)
        self._calls += 1
        return self.learning_rate


class MultiStepScheduler(FixedScheduler):
    """Multiplies by `gamma` at each milestone; steps are counted from 0."""

    def __init__(self, learning_rate: float, milestones: Sequence[int], gamma: float = 0.1) -> None:
        super().__init__(learning_rate)
        self.milestones = tuple(milestones)
        if any(b <= a for a, b in zip((0, *self.milestones), self.milestones, strict=False)):
            raise UsageError(f"milestones are above 0 and increase: {show(self.milestones)}")
        self.gamma = gamma
        self._calls = 0

    def step(self) -> float:
        """See `FixedScheduler`."""
        if self._calls in self.milestones:
            self.learning_rate *= self.gamma
        self._calls += 1
        return self.learning_rate


class ExponentialScheduler(FixedScheduler):
    """Multiplies by `gamma` after every step, down to `ending`.

    `step` returns the rate for this step; `get` and `learning_rate` are then that of the next one.
    """

    def __init__(self, learning_rate: float, gamma: float = 0.9, ending: float = 1e-8) -> None:
        super().__init__(learning_rate)
        self.gamma = gamma
        self.ending = ending

    def step(self) -> float:
        """See `FixedScheduler`."""
        current = self.learning_rate
        self.learning_rate = max(current * self.gamma, self.ending)
        return current


class ReduceOnPlateauScheduler(FixedScheduler):
    """Multiplies by `factor` after more than `patience` steps without an improvement.

    An improvement exceeds `threshold`, taken relative to the best value ("rel") or as it is
    ("abs"). Steps during `cooldown` after a reduction are not counted. The rate ends at `ending`.
    """

    def __init__(
        self,
        learning_rate: float,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        ending: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate)
        if mode not in ("min", "max"):
            raise UsageError(f"mode is 'min' or 'max', not {show(mode)}")
        if threshold_mode not in ("rel", "abs"):
            raise UsageError(f"threshold_mode is 'rel' or 'abs', not {show(threshold_mode)}")
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.ending = ending
        self.best = math.inf if mode == "min" else -math.inf
        self._bad_steps = 0
        self._cooling = 0

    def step(self, value: float) -> float:
        """Take note of the value measured; returns the learning rate for the next step."""
        if self._improves(value):
            self.best = value
            self._bad_steps = 0
        else:
            self._bad_steps += 1
        if self._cooling > 0:
            self._cooling -= 1
            self._bad_steps = 0
        if self._bad_steps > self.patience:
            self.learning_rate = max(self.learning_rate * self.factor, self.ending)
            self._cooling = self.cooldown
            self._bad_steps = 0
        return self.learning_rate

    def _improves(self, value: float) -> bool:
        margin = self.threshold if self.mode == "max" else -self.threshold
        limit = self.best * (1 + margin) if self.threshold_mode == "rel" else self.best + margin
        return value > limit if self.mode == "max" else value < limit
