"""Initializers: their distributions, against formulas and bounds from the sampling error."""

import math
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from scipy import stats

from hetu import ir
from hetu.api import init
from hetu.api.value import Value
from hetu.api.variable import Variable
from hetu.errors import UsageError
from hetu.runtime.executor import Executor

SHAPE = (40, 30, 5, 7)
COUNT = math.prod(SHAPE)
FAN_IN, FAN_OUT = 30 * 35, 40 * 35
AVERAGE = (FAN_IN + FAN_OUT) / 2

# Of the Kolmogorov-Smirnov statistic, times the root of the count, 2.8 is exceeded once in three
# million draws: 2 * exp(-2 * 2.8**2).
KS_LIMIT = 2.8 / math.sqrt(COUNT)


def draw(variable: Value, seed: int = 0) -> np.ndarray:
    assert isinstance(variable.data, ir.Recipe)
    return variable.data.make(np.random.default_rng(seed))


def uniform(limit: float) -> Callable[[np.ndarray], np.ndarray]:
    return stats.uniform(-limit, 2 * limit).cdf


def normal(deviation: float) -> Callable[[np.ndarray], np.ndarray]:
    return stats.norm(0, deviation).cdf


def tails(x: np.ndarray) -> np.ndarray:
    """The distribution function of a standard normal, given that it is beyond 2."""
    phi = stats.norm.cdf
    both = 2 * phi(-2)
    return np.where(x < -2, phi(x), np.where(x < 2, phi(-2), phi(x) - phi(2) + phi(-2))) / both


DISTRIBUTIONS = {
    "random_normal": (init.random_normal(SHAPE), normal(1)),
    "random_normal moved": (init.random_normal(SHAPE, 3.0, 0.25), stats.norm(3, 0.25).cdf),
    "random_uniform": (init.random_uniform(SHAPE), uniform(1)),
    "random_uniform moved": (init.random_uniform(SHAPE, 2.0, 5.0), stats.uniform(2, 3).cdf),
    "truncated_normal": (init.truncated_normal(SHAPE), stats.truncnorm(-2, 2).cdf),
    "truncated_normal moved": (
        init.truncated_normal(SHAPE, -1.0, 0.5),
        stats.truncnorm(-2, 2, -1, 0.5).cdf,
    ),
    "reversed_truncated_normal": (init.reversed_truncated_normal(SHAPE), tails),
    "reversed_truncated_normal moved": (
        init.reversed_truncated_normal(SHAPE, 5.0, 2.0),
        lambda x: tails((x - 5) / 2),
    ),
    "general_xavier_normal": (
        init.general_xavier_normal(SHAPE, 1.7, "fan_out"),
        normal(math.sqrt(1.7 / FAN_OUT)),
    ),
    "general_xavier_uniform": (
        init.general_xavier_uniform(SHAPE, 1.7, "fan_out"),
        uniform(math.sqrt(1.7 / FAN_OUT)),
    ),
    "xavier_normal": (init.xavier_normal(SHAPE), normal(math.sqrt(1 / AVERAGE))),
    "xavier_uniform": (init.xavier_uniform(SHAPE), uniform(math.sqrt(3 / AVERAGE))),
    "he_normal": (init.he_normal(SHAPE), normal(math.sqrt(2 / FAN_IN))),
    "he_uniform": (init.he_uniform(SHAPE), uniform(math.sqrt(6 / FAN_IN))),
    "lecun_normal": (init.lecun_normal(SHAPE), normal(math.sqrt(1 / FAN_IN))),
    "lecun_uniform": (init.lecun_uniform(SHAPE), uniform(math.sqrt(3 / FAN_IN))),
    "GenNormal": (init.GenNormal(1.0, 2.0)(SHAPE), stats.norm(1, 2).cdf),
    "GenUniform": (init.GenUniform(0.0, 2.0)(SHAPE), stats.uniform(0, 2).cdf),
    "GenTruncatedNormal": (
        init.GenTruncatedNormal(0.0, 0.02)(SHAPE),
        stats.truncnorm(-2, 2, 0, 0.02).cdf,
    ),
    "GenReversedTruncatedNormal": (init.GenReversedTruncatedNormal()(SHAPE), tails),
    "GenGeneralXavierNormal": (
        init.GenGeneralXavierNormal(2.5, "avg")(SHAPE),
        normal(math.sqrt(2.5 / AVERAGE)),
    ),
    "GenGeneralXavierUniform": (
        init.GenGeneralXavierUniform(2.5, "fan_in")(SHAPE),
        uniform(math.sqrt(2.5 / FAN_IN)),
    ),
    "GenXavierNormal": (init.GenXavierNormal()(SHAPE), normal(math.sqrt(1 / AVERAGE))),
    "GenXavierUniform": (init.GenXavierUniform()(SHAPE), uniform(math.sqrt(3 / AVERAGE))),
    "GenHeNormal": (init.GenHeNormal()(SHAPE), normal(math.sqrt(2 / FAN_IN))),
    "GenHeUniform": (init.GenHeUniform()(SHAPE), uniform(math.sqrt(6 / FAN_IN))),
    "GenLecunNormal": (init.GenLecunNormal()(SHAPE), normal(math.sqrt(1 / FAN_IN))),
    "GenLecunUniform": (init.GenLecunUniform()(SHAPE), uniform(math.sqrt(3 / FAN_IN))),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution(name: str) -> None:
    variable, cdf = DISTRIBUTIONS[name]
    drawn = draw(variable)
    assert drawn.shape == variable.shape == SHAPE
    assert drawn.dtype == np.float32
    statistic = stats.kstest(drawn.reshape(-1).astype(np.float64), cdf).statistic
    assert statistic < KS_LIMIT


def test_moments() -> None:
    """The mean within 5 of its standard errors, the variance within 5 of its own."""
    drawn = draw(init.random_normal(SHAPE, 3.0, 0.25)).astype(np.float64)
    assert abs(drawn.mean() - 3) < 5 * 0.25 / math.sqrt(COUNT)
    assert abs(drawn.var() - 0.0625) < 5 * 0.0625 * math.sqrt(2 / COUNT)


def test_neighbours_are_independent() -> None:
    """Correlations of independent numbers have the standard error 1 / sqrt(count)."""
    for make in (init.random_normal, init.truncated_normal, init.reversed_truncated_normal):
        drawn = draw(make(SHAPE)).reshape(-1).astype(np.float64)
        assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 5 / math.sqrt(COUNT)


@pytest.mark.parametrize(
    ("make", "inside"),
    [(init.truncated_normal, True), (init.reversed_truncated_normal, False)],
)
def test_cut(make: Callable[..., Value], inside: bool) -> None:
    drawn = draw(make(SHAPE, 0.0, 1.0))
    beyond = np.abs(drawn) > 2
    assert not beyond.any() if inside else np.all(np.abs(drawn) >= 2)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (init.zeros, 0),
        (init.ones, 1),
        (lambda shape, **options: init.constant(shape, -2.5, **options), -2.5),
        (init.GenZeros(), 0),
        (init.GenOnes(), 1),
        (init.GenConstant(7.0), 7),
        (init.GenConstant(), 0),
    ],
)
@pytest.mark.parametrize("element", [np.float32, np.float64, np.int32, ml_dtypes.bfloat16])
def test_constants(make: Callable[..., Value], expected: float, element: type) -> None:
    drawn = draw(make((2, 3), dtype=element))
    assert drawn.dtype == element and drawn.flags.writeable
    np.testing.assert_array_equal(drawn, np.full((2, 3), expected).astype(element))


def test_large_integer_constants_are_exact() -> None:
    assert draw(init.constant((), 2**53 + 1, dtype=np.int64)) == 2**53 + 1


@pytest.mark.parametrize("make", [init.nulls, init.GenEmpty()])
def test_empty(make: Callable[..., Value]) -> None:
    drawn = draw(make((4, 2), dtype=np.float16))
    assert (drawn.shape, drawn.dtype) == ((4, 2), np.float16)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), 5, [2, 3], (np.int64(2), 2)])
@pytest.mark.parametrize(
    "make",
    [init.random_normal, init.random_uniform, init.truncated_normal,
     init.reversed_truncated_normal, init.ones],
)  # fmt: skip
def test_shapes(make: Callable[..., Value], shape: object) -> None:
    assert draw(make(shape)).shape == np.empty(shape).shape  # pyright: ignore


def test_double_precision_is_used() -> None:
    """Numbers of single precision would all be multiples of 2**-24."""
    drawn = draw(init.random_uniform((1000,), 0.0, 1.0, dtype=np.float64))
    assert np.mean(drawn * 2**24 % 1 != 0) > 0.99


def test_fan_of_linear_weights() -> None:
    """Weights of linear layers, (in, out), are counted like those of convolutions, (out, in)."""
    drawn = draw(init.he_uniform((1000, 10)))
    assert 0.99 * math.sqrt(6 / 10) < np.abs(drawn).max() <= math.sqrt(6 / 10) * (1 + 2**-23)


@pytest.mark.parametrize("shape", [(), (5,), 5, (0, 3)])
def test_no_fan(shape: object) -> None:
    with pytest.raises(UsageError, match="no fan"):
        init.xavier_normal(shape)  # pyright: ignore[reportArgumentType]


def test_unknown_mode() -> None:
    with pytest.raises(UsageError, match="'fan_avg'"):
        init.general_xavier_normal((2, 2), 1.0, "fan_avg")  # pyright: ignore[reportArgumentType]


def test_names_and_options() -> None:
    assert init.zeros((2,)).name == "zeros_initializer"
    assert init.he_normal((2, 2)).name == "he_normal_initializer"
    variable = init.random_normal((2,), 0.0, 1.0, "w", False, np.float64, None)
    assert (variable.name, variable.trainable) == ("w", False)
    assert str(variable.type) == "float64[2]"
    made = init.GenXavierUniform()((2, 3), name="v", trainable=False, ctx=None)
    assert (made.name, made.trainable, str(made.type)) == ("v", False, "float32[2, 3]")


def test_draws_depend_on_the_seed_and_on_the_order() -> None:
    variables = [init.truncated_normal((50,), name=name) for name in "ab"]
    first, second, other = (Executor(variables, seed=seed).state_dict() for seed in (3, 3, 4))
    for name in "ab":
        np.testing.assert_array_equal(first[name], second[name])
        assert not np.any(first[name] == other[name])
    assert not np.any(first["a"] == first["b"])


def test_own_initializer() -> None:
    class Diagonal(init.BaseInit):
        def draw(self, random: np.random.Generator, dtype: np.dtype) -> np.ndarray:
            return np.eye(*self.shape)

    variable = Variable("w", initializer=Diagonal((2, 2)))
    np.testing.assert_array_equal(draw(variable), [[1, 0], [0, 1]])
