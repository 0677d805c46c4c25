"""Variables by the distribution of their first values: functions, and `Gen*` for layers.

A `Gen*` object is called with a shape and makes a variable: it is what a layer takes to make its
parameters with.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hetu.api.initializers import BaseInit as BaseInit
from hetu.api.initializers import (
    ConstantInit,
    EmptyInit,
    GeneralXavierNormalInit,
    GeneralXavierUniformInit,
    HeNormalInit,
    HeUniformInit,
    LecunNormalInit,
    LecunUniformInit,
    Mode,
    NormalInit,
    OnesInit,
    ReversedTruncatedNormalInit,
    Shape,
    TruncatedNormalInit,
    UniformInit,
    XavierNormalInit,
    XavierUniformInit,
    ZerosInit,
)
from hetu.api.value import Value
from hetu.api.variable import Variable


def nulls(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable whose first value does not matter."""
    initializer = EmptyInit(shape)
    return Variable(name or "nulls_initializer", None, initializer, trainable, dtype, ctx)


def zeros(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable of zeros."""
    initializer = ZerosInit(shape)
    return Variable(name or "zeros_initializer", None, initializer, trainable, dtype, ctx)


def ones(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable of ones."""
    initializer = OnesInit(shape)
    return Variable(name or "ones_initializer", None, initializer, trainable, dtype, ctx)


def constant(
    shape: Shape,
    fill_value: float = 0.0,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable whose elements are all `fill_value`."""
    initializer = ConstantInit(fill_value, shape)
    return Variable(name or "constant_initializer", None, initializer, trainable, dtype, ctx)


def truncated_normal(
    shape: Shape,
    mean: float = 0.0,
    stddev: float = 1.0,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `TruncatedNormalInit`."""
    initializer = TruncatedNormalInit(mean, stddev, shape)
    return Variable(
        name or "truncated_normal_initializer", None, initializer, trainable, dtype, ctx
    )


def reversed_truncated_normal(
    shape: Shape,
    mean: float = 0.0,
    stddev: float = 1.0,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `ReversedTruncatedNormalInit`."""
    initializer = ReversedTruncatedNormalInit(mean, stddev, shape)
    return Variable(
        name or "reversed_truncated_normal_initializer", None, initializer, trainable, dtype, ctx
    )


def random_normal(
    shape: Shape,
    mean: float = 0.0,
    stddev: float = 1.0,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `NormalInit`."""
    initializer = NormalInit(mean, stddev, shape)
    return Variable(name or "random_normal_initializer", None, initializer, trainable, dtype, ctx)


def random_uniform(
    shape: Shape,
    minval: float = -1.0,
    maxval: float = 1.0,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `UniformInit`."""
    initializer = UniformInit(minval, maxval, shape)
    return Variable(name or "random_uniform_initializer", None, initializer, trainable, dtype, ctx)


def general_xavier_normal(
    shape: Shape,
    gain: float,
    mode: Mode,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `GeneralXavierNormalInit`."""
    initializer = GeneralXavierNormalInit(gain, mode, shape)
    return Variable(
        name or "general_xavier_normal_initializer", None, initializer, trainable, dtype, ctx
    )


def general_xavier_uniform(
    shape: Shape,
    gain: float,
    mode: Mode,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `GeneralXavierUniformInit`."""
    initializer = GeneralXavierUniformInit(gain, mode, shape)
    return Variable(
        name or "general_xavier_uniform_initializer", None, initializer, trainable, dtype, ctx
    )


def xavier_normal(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `XavierNormalInit`."""
    initializer = XavierNormalInit(shape)
    return Variable(name or "xavier_normal_initializer", None, initializer, trainable, dtype, ctx)


def xavier_uniform(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `XavierUniformInit`."""
    initializer = XavierUniformInit(shape)
    return Variable(name or "xavier_uniform_initializer", None, initializer, trainable, dtype, ctx)


def he_normal(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `HeNormalInit`."""
    initializer = HeNormalInit(shape)
    return Variable(name or "he_normal_initializer", None, initializer, trainable, dtype, ctx)


def he_uniform(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `HeUniformInit`."""
    initializer = HeUniformInit(shape)
    return Variable(name or "he_uniform_initializer", None, initializer, trainable, dtype, ctx)


def lecun_normal(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `LecunNormalInit`."""
    initializer = LecunNormalInit(shape)
    return Variable(name or "lecun_normal_initializer", None, initializer, trainable, dtype, ctx)


def lecun_uniform(
    shape: Shape,
    name: str | None = None,
    trainable: bool = True,
    dtype: Any = np.float32,
    ctx: Any = None,
) -> Value:
    """A variable drawn by `LecunUniformInit`."""
    initializer = LecunUniformInit(shape)
    return Variable(name or "lecun_uniform_initializer", None, initializer, trainable, dtype, ctx)


class _Generator:
    """Makes variables by one of the functions above."""

    def __init__(self, function: Callable[..., Value], *settings: Any) -> None:
        self._function = function
        self._settings = settings

    def __call__(
        self,
        shape: Shape,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = np.float32,
        ctx: Any = None,
    ) -> Value:
        return self._function(shape, *self._settings, name, trainable, dtype, ctx)


class GenEmpty(_Generator):
    """Makes variables by `nulls`."""

    def __init__(self) -> None:
        super().__init__(nulls)


class GenZeros(_Generator):
    """Makes variables by `zeros`."""

    def __init__(self) -> None:
        super().__init__(zeros)


class GenOnes(_Generator):
    """Makes variables by `ones`."""

    def __init__(self) -> None:
        super().__init__(ones)


class GenConstant(_Generator):
    """Makes variables by `constant`."""

    def __init__(self, fill_value: float = 0.0) -> None:
        super().__init__(constant, fill_value)


class GenTruncatedNormal(_Generator):
    """Makes variables by `truncated_normal`."""

    def __init__(self, mean: float = 0.0, stddev: float = 1.0) -> None:
        super().__init__(truncated_normal, mean, stddev)


class GenReversedTruncatedNormal(_Generator):
    """Makes variables by `reversed_truncated_normal`."""

    def __init__(self, mean: float = 0.0, stddev: float = 1.0) -> None:
        super().__init__(reversed_truncated_normal, mean, stddev)


class GenNormal(_Generator):
    """Makes variables by `random_normal`."""

    def __init__(self, mean: float = 0.0, stddev: float = 1.0) -> None:
        super().__init__(random_normal, mean, stddev)


class GenUniform(_Generator):
    """Makes variables by `random_uniform`."""

    def __init__(self, minval: float = -1.0, maxval: float = 1.0) -> None:
        super().__init__(random_uniform, minval, maxval)


class GenGeneralXavierNormal(_Generator):
    """Makes variables by `general_xavier_normal`."""

    def __init__(self, gain: float, mode: Mode) -> None:
        super().__init__(general_xavier_normal, gain, mode)


class GenGeneralXavierUniform(_Generator):
    """Makes variables by `general_xavier_uniform`."""

    def __init__(self, gain: float, mode: Mode) -> None:
        super().__init__(general_xavier_uniform, gain, mode)


class GenXavierNormal(_Generator):
    """Makes variables by `xavier_normal`."""

    def __init__(self) -> None:
        super().__init__(xavier_normal)


class GenXavierUniform(_Generator):
    """Makes variables by `xavier_uniform`."""

    def __init__(self) -> None:
        super().__init__(xavier_uniform)


class GenHeNormal(_Generator):
    """Makes variables by `he_normal`."""

    def __init__(self) -> None:
        super().__init__(he_normal)


class GenHeUniform(_Generator):
    """Makes variables by `he_uniform`."""

    def __init__(self) -> None:
        super().__init__(he_uniform)


class GenLecunNormal(_Generator):
    """Makes variables by `lecun_normal`."""

    def __init__(self) -> None:
        super().__init__(lecun_normal)


class GenLecunUniform(_Generator):
    """Makes variables by `lecun_uniform`."""

    def __init__(self) -> None:
        super().__init__(lecun_uniform)
