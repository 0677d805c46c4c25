"""Which initializer of a model holds which weight of a torch module, and in what form."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from typing import Any, Literal

import numpy as np

from hetu.convert import to_numpy
from hetu.errors import UsageError, show
from hetu.ir import Tensor
from hetu.onnx.onnx2hetu import LoadedModel
from hetu.types import dtype

Relation = Literal[
    "same", "cast", "transposed", "reshaped", "permuted", "part", "folded", "ambiguous", "missing"
]
View = Callable[[np.ndarray], np.ndarray]
Match = tuple[Relation, View]

MAX_TRANSPOSED_RANK = 5
FOLDED_RTOL = 1e-3
"""How far a folded weight may be from the weight times a factor for each output channel."""


@dataclass(frozen=True, slots=True)
class WeightMatch:
    """Where a weight of the module is.

    `relation` is what the initializer holds: the weight itself ("same"), in another element type
    ("cast"), with its axes in another order ("transposed"), in another shape ("reshaped"), with its
    rows in another order ("permuted") or among others ("part"). A "folded" one holds something
    computed from it, as where a batch normalization went into a convolution. "ambiguous" says that
    several initializers hold the values of several weights, "missing" that none does. `copies` are
    further initializers that hold this weight: exporters write a tied one in each form it is used.
    """

    name: str
    relation: Relation
    initializer: str | None = None
    view: View | None = None
    copies: tuple["WeightMatch", ...] = ()

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Something in the form of the initializer, its gradient say, in the form of the weight.

        Raises `UsageError` where the initializer does not hold the weight's own elements.
        """
        if self.view is None:
            raise UsageError(f"{show(self.name)} is {self.relation}: nothing can be carried over")
        return self.view(array)


class WeightMatches(Mapping[str, WeightMatch]):
    """The matches by the names of the module's weights; printed, they are a table.

    `unmatched` names the float initializers that hold no weight of the module.
    """

    def __init__(
        self, matches: Mapping[str, WeightMatch], arrays: Mapping[str, np.ndarray]
    ) -> None:
        self._matches = dict(matches)
        self._arrays = arrays
        every = (m for match in matches.values() for m in (match, *match.copies))
        found = {match.initializer for match in every}
        self.unmatched = [name for name in arrays if name not in found]

    def __getitem__(self, name: str) -> WeightMatch:
        return self._matches[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._matches)

    def __len__(self) -> int:
        return len(self._matches)

    def gradients(self, of_initializers: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The gradients of the module's weights: those of a weight's copies add up.

        Takes the gradients of initializers by name; weights without one there are left out.
        """
        made = {}
        for name, match in self._matches.items():
            parts = [m for m in (match, *match.copies) if m.initializer in of_initializers]
            if parts:
                made[name] = sum(m.to_torch(of_initializers[str(m.initializer)]) for m in parts)
        return made

    def to_onnx(self, weights: Any) -> dict[str, np.ndarray]:
        """The initializers for other weights of the module: what `Executor.load_dict` takes.

        `weights` is a module, or a mapping from names to tensors. Raises `UsageError` for one that
        no initializer holds as it is.
        """
        made: dict[str, np.ndarray] = {}
        for name, weight in _weights(weights).items():
            match = self._matches.get(name)
            if match is None or match.initializer is None or match.view is None:
                relation = "unknown" if match is None else match.relation
                raise UsageError(f"{show(name)} is {relation}: nothing can be carried over")
            for held in (match, *match.copies):
                self._write(weight, held, made)
        return made

    def _write(self, weight: np.ndarray, match: WeightMatch, made: dict[str, np.ndarray]) -> None:
        """Put a weight where an initializer holds it."""
        assert match.initializer is not None and match.view is not None
        array = made.setdefault(match.initializer, self._arrays[match.initializer].copy())
        indices = match.view(np.arange(array.size).reshape(array.shape))
        array.reshape(-1)[indices.reshape(-1)] = weight.reshape(-1)

    def __str__(self) -> str:
        every = (m for match in self.values() for m in (match, *match.copies))
        lines = [f"{m.name}: {m.relation} {m.initializer or ''}".rstrip() for m in every]
        lines += [f"(none): {name}" for name in self.unmatched]
        return "\n".join(lines)


def match_weights(model: LoadedModel, module: Any) -> WeightMatches:
    """Find the weights of a torch module, or of its `state_dict()`, in a model exported from it.

    By name first, then by values, among the initializers that no name led to; so both must have
    the values that the export saw.
    """
    weights = _weights(module)
    arrays = {n: v.data.array for n, v in model.variables.items() if isinstance(v.data, Tensor)}
    arrays = {name: array for name, array in arrays.items() if _is_float(array)}
    matches = {n: _by_name(n, w, arrays[n]) for n, w in weights.items() if n in arrays}
    rest = {name: array for name, array in arrays.items() if name not in matches}
    for name, weight in weights.items():
        if name not in matches:
            matches[name] = _by_value(name, weight, rest, arrays, partial(_is_alone, name, weights))
    matches |= _copied(matches, weights, arrays)
    matches |= _folded(matches, weights, arrays)
    return WeightMatches({name: matches[name] for name in weights}, arrays)


def _weights(module: Any) -> dict[str, np.ndarray]:
    """The float arrays of a module or of a mapping."""
    state = module.state_dict() if hasattr(module, "state_dict") else module
    arrays = {n: to_numpy(t) for n, t in state.items() if hasattr(t, "shape")}
    return {name: array for name, array in arrays.items() if _is_float(array)}


def _is_float(array: np.ndarray) -> bool:
    return dtype(array.dtype).is_float


def _by_name(name: str, weight: np.ndarray, array: np.ndarray) -> WeightMatch:
    found = _whole(weight, array) or _rows(weight, array)
    return WeightMatch(name, found[0], name, found[1]) if found else _folded_into(name, name)


def _folded_into(name: str, initializer: str | None) -> WeightMatch:
    return WeightMatch(name, "folded", initializer)


def _is_alone(name: str, weights: Mapping[str, np.ndarray]) -> bool:
    """Whether only this weight, and those tied to it, have these values; vectors often agree."""
    weight = weights[name]
    return weight.ndim > 1 and not any(
        other.shape == weight.shape
        and not _is_tied(other, weight)
        and np.array_equal(other, weight)
        for other in weights.values()
    )


def _is_tied(weight: np.ndarray, other: np.ndarray) -> bool:
    return weight.ctypes.data == other.ctypes.data


def _copied(
    matches: Mapping[str, WeightMatch],
    weights: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
) -> dict[str, WeightMatch]:
    """The matches of weights that initializers which hold no other weight hold, too."""
    owners = {match.initializer: weights[name] for name, match in matches.items()}
    found: dict[str, WeightMatch] = {}
    for name, match in matches.items():
        weight = weights[name]
        if match.view is None or not _is_alone(name, weights):
            continue
        free = {
            key: array for key, array in arrays.items()
            if key != match.initializer and _is_tied(owners.get(key, weight), weight)
        }  # fmt: skip
        wholes = {key: _whole(weight, array) for key, array in free.items()}
        copies = tuple(WeightMatch(name, w[0], key, w[1]) for key, w in wholes.items() if w)
        found[name] = replace(match, copies=copies)
    return found


def _by_value(
    name: str,
    weight: np.ndarray,
    rest: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
    is_alone: Callable[[], bool],
) -> WeightMatch:
    """The only match among those that no name led to, else among all: exporters tie equals."""
    for find, among in ((_whole, rest), (_rows, rest), (_whole, arrays)):
        found = {key: find(weight, array) for key, array in among.items()}
        matches = [(key, *match) for key, match in found.items() if match]
        if len(matches) == 1 or (matches and find is _whole and is_alone()):
            key, relation, view = matches[0]
            return WeightMatch(name, relation, key, view)
        if matches:
            return WeightMatch(name, "ambiguous")
    return WeightMatch(name, "missing")


def _whole(weight: np.ndarray, array: np.ndarray) -> Match | None:
    """How an initializer holds the elements of a weight in order, but for that of the axes."""
    if weight.size != array.size or weight.ndim > MAX_TRANSPOSED_RANK:
        return None
    cast = weight.astype(array.dtype)
    if array.shape == weight.shape and np.array_equal(cast, array):
        return ("same" if weight.dtype == array.dtype else "cast"), lambda a: a
    if not np.isclose(_sum(cast), _sum(array), rtol=1e-6, atol=1e-6, equal_nan=True):
        return None
    orders = list(permutations(range(weight.ndim)))
    fitting = [axes for axes in orders if cast.transpose(axes).shape == array.shape]
    for axes in (*fitting, *orders):
        moved = cast.transpose(axes)
        if np.array_equal(moved.reshape(array.shape), array):
            relation = "reshaped" if axes == orders[0] else "transposed"
            return relation, partial(_moved_back, shape=moved.shape, axes=axes)
    return None


def _sum(array: np.ndarray) -> float:
    """The same for every order of the elements, but for rounding."""
    return float(np.sum(array, dtype=np.float64))


def _moved_back(array: np.ndarray, shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    return array.reshape(shape).transpose(np.argsort(axes))


def _rows(weight: np.ndarray, array: np.ndarray) -> Match | None:
    """How an initializer holds the rows of a weight, in any order, perhaps among others.

    Rows that are not unique say nothing.
    """
    if weight.ndim == 0 or weight.size < 2 or array.size % weight[0].size:
        return None
    cast, width = weight.astype(array.dtype), weight[0].size
    wanted = [row.tobytes() for row in cast.reshape(-1, width)]
    for is_transposed in (False, True)[: array.ndim]:
        table = (array.T if is_transposed else array).reshape(-1, width)
        keys = [row.tobytes() for row in table]
        index = dict(zip(keys, range(len(keys)), strict=True))
        counts = Counter(keys)
        if all(counts[key] == 1 for key in wanted) and len(set(wanted)) == len(wanted):
            rows = [index[key] for key in wanted]
            view = partial(_picked, rows=rows, shape=weight.shape, is_transposed=is_transposed)
            return ("permuted" if weight.size == array.size else "part"), view
    return None


def _picked(
    array: np.ndarray, rows: list[int], shape: tuple[int, ...], is_transposed: bool
) -> np.ndarray:
    table = (array.T if is_transposed else array).reshape(-1, int(np.prod(shape[1:])))
    return table[rows].reshape(shape)


# Batch normalizations folded into what is before them ------------------------------------------


def _folded(
    matches: Mapping[str, WeightMatch],
    weights: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
) -> dict[str, WeightMatch]:
    """Matches for weights that were multiplied by channel, and for those of the normalization."""
    taken = {match.initializer for match in matches.values() if match.view}
    rest = {name: array for name, array in arrays.items() if name not in taken}
    lost = [name for name, match in matches.items() if not match.view]
    found: dict[str, WeightMatch] = {}
    for name in lost:
        for key, array in rest.items():
            factors = _factors(weights[name], array)
            if factors is None or key in {match.initializer for match in found.values()}:
                continue
            found[name] = _folded_into(name, key)
            found |= _normalization(name, key, factors, weights, rest, lost)
            break
    return found


def _factors(weight: np.ndarray, array: np.ndarray) -> np.ndarray | None:
    """What each output channel of a weight was multiplied by, if that is all that was done."""
    if weight.ndim < 2 or weight.shape != array.shape:
        return None
    axes = tuple(range(1, weight.ndim))
    squares = np.sum(weight * weight, axes)
    factors = np.sum(weight * array, axes) / np.where(squares, squares, 1)
    scaled = weight * factors.reshape(-1, *(1,) * (weight.ndim - 1))
    return factors if np.allclose(scaled, array, rtol=FOLDED_RTOL, atol=1e-6) else None


def _normalization(
    name: str,
    initializer: str,
    factors: np.ndarray,
    weights: Mapping[str, np.ndarray],
    rest: Mapping[str, np.ndarray],
    lost: Sequence[str],
) -> dict[str, WeightMatch]:
    """The weights of the batch normalization that has these factors, and the bias before it."""
    bias_name = f"{name.rpartition('.')[0]}.bias"
    for variance in (n for n in lost if n.endswith("running_var")):
        norm = {part: f"{variance.removesuffix('running_var')}{part}" for part in _NORM_PARTS}
        scale, shift, mean, var = (weights.get(n, np.zeros(1)) for n in norm.values())
        if var.shape != factors.shape or not _is_close(factors**2 * var, scale**2):
            continue
        moved = (weights.get(bias_name, 0) - mean) * factors + shift
        holder = next((k for k, a in rest.items() if _is_close(a, moved)), None)
        targets = dict(zip(norm.values(), (initializer, holder, holder, initializer), strict=True))
        targets |= {bias_name: holder} if bias_name in lost else {}
        return {n: _folded_into(n, target) for n, target in targets.items()}
    return {}


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


def _is_close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.allclose(a, b, rtol=FOLDED_RTOL, atol=1e-4)
