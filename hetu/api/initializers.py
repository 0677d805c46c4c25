"""How variables of a given shape get their first values."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from hetu import ir
from hetu.errors import UsageError, show
from hetu.types import DType, TensorType

Shape = Sequence[int] | int
Mode = Literal["fan_in", "fan_out", "avg"]

_CUT = 2.0
"""Where normal distributions are truncated, in standard deviations."""


class BaseInit(ABC):
    """An initializer of variables of `shape`."""

    def __init__(self, shape: Shape) -> None:
        sizes = shape if isinstance(shape, Sequence) else (shape,)
        self.shape = tuple(int(size) for size in sizes)

    @abstractmethod
    def draw(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """An array of `shape`; `dtype` (float32 or float64) is the precision that is wanted."""

    def recipe(self, element: DType) -> ir.Recipe:
        """How to make the first value of a variable of an element type."""
        precision = np.dtype(np.float64 if element.bits == 64 else np.float32)

        def make(random: np.random.Generator) -> np.ndarray:
            return np.require(self.draw(random, precision), element.numpy, ["C", "W"])

        return ir.Recipe(TensorType(element, self.shape), make)


class ConstantInit(BaseInit):
    """Every element is `constant`."""

    def __init__(self, constant: float, shape: Shape) -> None:
        super().__init__(shape)
        self.constant = constant

    def draw(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """See `BaseInit`."""
        return np.broadcast_to(np.asarray(self.constant), self.shape)


class ZerosInit(ConstantInit):
    """Every element is 0."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(0, shape)


class OnesInit(ConstantInit):
    """Every element is 1."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(1, shape)


class EmptyInit(ZerosInit):
    """The elements do not matter, since something else sets them; they are 0."""


class UniformInit(BaseInit):
    """Uniform between `low` and `high`."""

    def __init__(self, low: float, high: float, shape: Shape) -> None:
        super().__init__(shape)
        self.low, self.high = float(low), float(high)

    def draw(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """See `BaseInit`."""
        return self.low + (self.high - self.low) * random.random(self.shape, dtype)


class NormalInit(BaseInit):
    """Normal."""

    def __init__(self, mean: float, stddev: float, shape: Shape) -> None:
        super().__init__(shape)
        self.mean, self.stddev = float(mean), float(stddev)

    def draw(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """See `BaseInit`."""
        return self.mean + self.stddev * self.standard(random, dtype).reshape(self.shape)

    def standard(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """As many numbers as the shape has, for mean 0 and standard deviation 1."""
        return random.standard_normal(math.prod(self.shape), dtype)


class TruncatedNormalInit(NormalInit):
    """Normal, but nothing farther than 2 standard deviations from the mean."""

    def standard(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """See `NormalInit`."""

        def propose(count: int) -> np.ndarray:
            numbers = random.standard_normal(count, dtype)
            return numbers[np.abs(numbers) <= _CUT]

        return _accepted(math.prod(self.shape), propose)


class ReversedTruncatedNormalInit(NormalInit):
    """Normal, but only what is farther than 2 standard deviations from the mean."""

    def standard(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
        """See `NormalInit`; the tails are drawn by Marsaglia's method (Technometrics 6, 1964)."""

        def propose(count: int) -> np.ndarray:
            chances = random.random((3, count), dtype)
            numbers = np.sqrt(_CUT**2 - 2 * np.log1p(-chances[0]))
            numbers = np.copysign(numbers, chances[2] - 0.5)
            return numbers[chances[1] * np.abs(numbers) < _CUT]

        return _accepted(math.prod(self.shape), propose)


class GeneralXavierUniformInit(UniformInit):
    """Uniform between plus and minus the root of `gain` over the fan that `mode` names."""

    def __init__(self, gain: float, mode: Mode, shape: Shape) -> None:
        limit = math.sqrt(gain / _fan(shape, mode))
        super().__init__(-limit, limit, shape)


class GeneralXavierNormalInit(NormalInit):
    """Normal around 0; the variance is `gain` over the fan that `mode` names."""

    def __init__(self, gain: float, mode: Mode, shape: Shape) -> None:
        super().__init__(0.0, math.sqrt(gain / _fan(shape, mode)), shape)


class XavierUniformInit(GeneralXavierUniformInit):
    """Glorot and Bengio 2010, uniform."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(3.0, "avg", shape)


class XavierNormalInit(GeneralXavierNormalInit):
    """Glorot and Bengio 2010, normal."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(1.0, "avg", shape)


class HeUniformInit(GeneralXavierUniformInit):
    """He et al. 2015, uniform."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(6.0, "fan_in", shape)


class HeNormalInit(GeneralXavierNormalInit):
    """He et al. 2015, normal."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(2.0, "fan_in", shape)


class LecunUniformInit(GeneralXavierUniformInit):
    """LeCun et al. 1998, uniform."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(3.0, "fan_in", shape)


class LecunNormalInit(GeneralXavierNormalInit):
    """LeCun et al. 1998, normal."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(1.0, "fan_in", shape)


def _accepted(count: int, propose: Callable[[int], np.ndarray]) -> np.ndarray:
    """`count` numbers from proposals that hold fewer than what they are asked for."""
    parts = [propose(count)]
    missing = count - len(parts[0])
    while missing:
        parts.append(propose(missing))
        missing -= len(parts[-1])
    return np.concatenate(parts)


def _fan(shape: Shape, mode: Mode) -> float:
    """How many numbers a neuron gets or gives; weights are (out, in, *receptive field).

    The weights of linear layers, which are (in, out), are counted the same way.
    """
    if not isinstance(shape, Sequence) or len(shape) < 2 or 0 in shape:
        raise UsageError(f"shape {show(shape)} has no fan: at least two dimensions are needed")
    receptive = math.prod(shape[2:])
    fans: dict[str, float] = {"fan_in": receptive * shape[1], "fan_out": receptive * shape[0]}
    fans["avg"] = sum(fans.values()) / 2
    if mode not in fans:
        raise UsageError(f"mode is 'fan_in', 'fan_out' or 'avg', not {show(mode)}")
    return fans[mode]
