"""Two values of the same name, one from each side, number by number."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from hetu.types import STRING, DType, dtype

Position = tuple[Any, ...]
"""Where an element is: indices into a tensor, after positions or keys of the sequences around."""

SHOWN_POSITIONS = 5
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A float agrees where its error is at most `atol + rtol * |expected|`.

    Of a type with fewer than 32 bits, each is at least a rounding step: its epsilon, and epsilon
    times the root mean square of the tensor. Two zeros ask for equal numbers.
    """

    rtol: float
    atol: float

    def limits(self, element: DType, expected: np.ndarray) -> tuple[float, float]:
        """The tolerances, relative and absolute, for a tensor of a type."""
        if element.numpy.itemsize >= 4 or not (self.rtol or self.atol):
            return self.rtol, self.atol
        epsilon = float(ml_dtypes.finfo(element.numpy).eps)
        return max(self.rtol, epsilon), max(self.atol, epsilon * _root_mean_square(expected))


@dataclass(slots=True)
class Errors:
    """What differs between two values: counts, errors of the finite numbers, first positions.

    `problem` says what makes them incomparable: another type, shape or length.
    """

    size: int = 0
    mismatches: int = 0
    finite: int = 0
    error_sum: float = 0.0
    max_abs: float = 0.0
    max_rel: float = 0.0
    first: Position | None = None
    nan_count: int = 0
    nan_positions: list[Position] = field(default_factory=list)
    infinity_count: int = 0
    infinity_positions: list[Position] = field(default_factory=list)
    problem: str = ""


def compare(actual: Any, expected: Any, tolerance: Tolerance) -> Errors:
    """The errors of hetu's value against ONNX Runtime's."""
    errors = Errors()
    for position, ours, theirs in _leaves(actual, expected, ()):
        problem = _problem(ours, theirs)
        if problem:
            where = f"[{']['.join(map(repr, position))}]: " if position else ""
            errors.problem = errors.problem or where + problem
        elif theirs is not None:
            _compare_arrays(np.asarray(ours), np.asarray(theirs), tolerance, position, errors)
    return errors


def _leaves(actual: Any, expected: Any, position: Position) -> Iterator[tuple[Position, Any, Any]]:
    """Pairs of tensors; where the structures differ, the pair of what differs."""
    pairs = _pairs(actual, expected)
    if pairs is None:
        yield position, actual, expected
        return
    for key, ours, theirs in pairs:
        yield from _leaves(ours, theirs, (*position, key))


def _pairs(actual: Any, expected: Any) -> list[tuple[Any, Any, Any]] | None:
    """What two sequences or maps of the same form hold; None for anything else."""
    if isinstance(actual, list | tuple) and isinstance(expected, list | tuple):
        is_same = len(actual) == len(expected)
        return list(zip(range(len(actual)), actual, expected, strict=True)) if is_same else None
    if not (isinstance(actual, Mapping) and isinstance(expected, Mapping)):
        return None
    if actual.keys() != expected.keys():
        return None
    return [(key, _typed(actual[key], theirs), theirs) for key, theirs in expected.items()]


def _typed(actual: Any, expected: Any) -> Any:
    """A number of a map: Python's have no type of their own, so they take the other side's."""
    if isinstance(actual, int | float | np.generic) and not isinstance(expected, str):
        return np.asarray(actual).astype(np.asarray(expected).dtype)
    return actual


def _problem(actual: Any, expected: Any) -> str:
    kinds = [_kind(actual), _kind(expected)]
    if kinds[0] != kinds[1]:
        return f"{kinds[0]}, ONNX Runtime has {kinds[1]}"
    if isinstance(expected, Mapping) or expected is None:
        missing = sorted(map(repr, set(actual or ()) ^ set(expected or ())))
        return f"keys of one side only: {', '.join(missing[:SHOWN_POSITIONS])}" if missing else ""
    return ""


def _kind(value: Any) -> str:
    """A value's type and shape, as far as they have to be the same."""
    if value is None:
        return "nothing"
    if isinstance(value, list | tuple):
        return f"a sequence of {len(value)}"
    if isinstance(value, Mapping):
        return "a map"
    array = np.asarray(value)
    return f"{dtype(array.dtype)}{list(array.shape)}"


def _compare_arrays(
    actual: np.ndarray, expected: np.ndarray, tolerance: Tolerance, prefix: Position, errors: Errors
) -> None:
    element, shape = dtype(expected.dtype), expected.shape
    actual, expected = actual.reshape(-1), expected.reshape(-1)
    is_exact = element is STRING or element.numpy.kind in "biu" or element.name in _SMALL_INTEGERS
    rtol, atol = (0.0, 0.0) if is_exact else tolerance.limits(element, expected)
    errors.size += expected.size
    for start in range(0, expected.size, _CHUNK):
        ours, theirs = actual[start : start + _CHUNK], expected[start : start + _CHUNK]
        place = _Place(prefix, start, shape)
        if element is STRING:
            _note(errors, ours != theirs, place)
        else:
            wide = _widest(element)
            _compare_numbers(ours.astype(wide), theirs.astype(wide), rtol, atol, place, errors)


_SMALL_INTEGERS = frozenset({"int4", "uint4", "int2", "uint2"})


def _widest(element: DType) -> type:
    """The type to take differences in; 64-bit integers keep every digit."""
    if element.numpy.kind == "c":
        return np.complex128
    if element.name in ("int64", "uint64"):
        return element.numpy.type
    return np.float64


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a chunk of a tensor is: turns its flat indices into positions."""

    prefix: Position
    start: int
    shape: tuple[int, ...]

    def positions(self, flags: np.ndarray, count: int) -> list[Position]:
        """The first places where a flag is set."""
        found = np.flatnonzero(flags)[:count] + self.start
        return [(*self.prefix, *map(int, np.unravel_index(i, self.shape))) for i in found]


def _note(errors: Errors, is_wrong: np.ndarray, place: _Place) -> None:
    count = int(np.count_nonzero(is_wrong))
    if count and errors.first is None:
        errors.first = place.positions(is_wrong, 1)[0]
    errors.mismatches += count


def _compare_numbers(
    ours: np.ndarray,
    theirs: np.ndarray,
    rtol: float,
    atol: float,
    place: _Place,
    errors: Errors,
) -> None:
    finite = np.isfinite(ours) & np.isfinite(theirs)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    error = _difference(ours[finite], theirs[finite])
    size = np.abs(theirs[finite]).astype(np.float64)
    is_close = same.copy()
    is_close[finite] |= error <= atol + rtol * size
    _note(errors, ~is_close, place)
    errors.finite += error.size
    errors.error_sum += float(error.sum())
    errors.max_abs = max(errors.max_abs, float(error.max(initial=0.0)))
    relative = error[size > 0] / size[size > 0]
    errors.max_rel = max(errors.max_rel, float(relative.max(initial=0.0)))
    is_nan = np.isnan(ours) != np.isnan(theirs)
    is_infinite = ~same & ~finite & ~is_nan
    for flags, positions in (
        (is_nan, errors.nan_positions),
        (is_infinite, errors.infinity_positions),
    ):
        positions.extend(place.positions(flags, SHOWN_POSITIONS - len(positions)))
    errors.nan_count += int(np.count_nonzero(is_nan))
    errors.infinity_count += int(np.count_nonzero(is_infinite))


def _difference(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """|ours - theirs|; integers do not wrap."""
    if ours.dtype.kind in "iu":
        unsigned = np.maximum(ours, theirs).view(np.uint64) - np.minimum(ours, theirs).view(
            np.uint64
        )
        return unsigned.astype(np.float64)
    with np.errstate(over="ignore"):
        return np.abs(ours - theirs)


def _root_mean_square(array: np.ndarray) -> float:
    numbers = array.astype(np.float32)
    numbers = numbers[np.isfinite(numbers)].astype(np.float64)
    return float(np.sqrt(np.mean(np.square(numbers)))) if numbers.size else 0.0
