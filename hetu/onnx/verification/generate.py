"""Inputs for a model: of its types and shapes, with numbers that its operators accept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from hetu.errors import UsageError, show
from hetu.onnx.proto import read_type
from hetu.onnx.verification.domains import DOMAINS, Rule
from hetu.onnx.verification.follow import Path, follow
from hetu.onnx.verification.hints import HINTS
from hetu.onnx.verification.outline import Outline, Use
from hetu.onnx.verification.site import Between, Distinct, Domain, Exactly, OneOf, Site
from hetu.onnx.verification.sizes import Dims, Sizes, evaluate, read_dims
from hetu.types import STRING, DType, MapType, OptionalType, SequenceType, TensorType, short_domain

_WORDS = ("alpha", "beta", "gamma", "delta", "7", "")
_SEQUENCE = 2

Table = Mapping[tuple[str, str], Mapping[int, Rule]]
Found = list[tuple[Domain, Path]]


def tensor_dims(model: onnx.ModelProto, given: Mapping[str, Any]) -> dict[str, Dims]:
    """The dimensions of the inputs that are tensors.

    Raises `UsageError` where one that is not given has none.
    """
    dims = {}
    for info in feeds_of(model):
        if info.type.WhichOneof("value") != "tensor_type":
            continue
        found = read_dims(info)
        if found is not None:
            dims[info.name] = found
        elif info.name not in given:
            raise UsageError(
                f"the input {show(info.name)} has no shape in the model: pass inputs with it"
            )
    return dims


def feeds_of(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that have no default."""
    defaults = {tensor.name for tensor in model.graph.initializer}
    defaults.update(tensor.values.name for tensor in model.graph.sparse_initializer)
    return [info for info in model.graph.input if info.name not in defaults]


def generate(
    outline: Outline,
    dims: Mapping[str, Dims],
    sizes: Sizes,
    given: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Feeds for every input, those given among them."""
    shapes = {name: evaluate(shape, sizes) for name, shape in dims.items()}
    shapes |= {n: np.shape(value) for n, value in given.items() if isinstance(value, np.ndarray)}
    maker = _Generator(outline, shapes, np.random.default_rng(seed))
    return {
        info.name: given[info.name] if info.name in given else maker.input(info)
        for info in feeds_of(outline.model)
    } | dict(given)


class _Generator:
    """Draws the inputs of one model with certain shapes."""

    def __init__(
        self,
        outline: Outline,
        shapes: Mapping[str, Sequence[int]],
        random: np.random.Generator,
    ) -> None:
        self._outline = outline
        self._shapes = shapes
        self._random = random
        self._types = outline.infer(shapes)

    def input(self, info: onnx.ValueInfoProto) -> Any:
        """A value for an input."""
        return self._value(read_type(info.type), info.name, tuple(self._shapes.get(info.name, ())))

    def _value(self, kind: Any, name: str, shape: tuple[int, ...]) -> Any:
        match kind:
            case TensorType(dtype=element, sparse=False) if element is not None:
                return self._tensor(element, name, shape)
            case SequenceType(element):
                return [self._element(element, name) for _ in range(_SEQUENCE)]
            case OptionalType(element):
                return self._element(element, name)
            case MapType(key, element):
                keys = self._keys(name) or (_WORDS[:3] if key is STRING else tuple(range(3)))
                return {key: self._element(element, name).item() for key in keys}
        raise UsageError(f"the input {show(name)} is of no type that inputs can be made for")

    def _element(self, kind: Any, name: str) -> Any:
        """A value inside of another; open dimensions are small."""
        shape = kind.shape if isinstance(kind, TensorType) else ()
        if shape is None:
            raise UsageError(f"the elements of {show(name)} have no shape: pass inputs with it")
        return self._value(kind, name, tuple(d if isinstance(d, int) else 3 for d in shape))

    def _keys(self, name: str) -> tuple[Any, ...]:
        """The vocabulary of a DictVectorizer that takes the map."""
        for use, _ in follow(self._outline.main, name, {}):
            for attribute in use.node.attribute:
                if attribute.name == "string_vocabulary":
                    return tuple(text.decode() for text in attribute.strings)
                if attribute.name == "int64_vocabulary":
                    return tuple(attribute.ints)
        return ()

    def _tensor(self, element: DType, name: str, shape: tuple[int, ...]) -> np.ndarray:
        uses = list(follow(self._outline.main, name, self._outline.constants))
        domains = self._domains(uses, shape, DOMAINS)
        hints = self._domains(uses, shape, HINTS)
        if "mask" in name.lower():
            hints.append((Between(0, 1), Path()))
        return _Draw(self._random, element, shape).tensor(domains, hints)

    def _domains(
        self, uses: Sequence[tuple[Use, Path]], shape: tuple[int, ...], table: Table
    ) -> Found:
        found: Found = []
        for use, path in uses:
            domain = short_domain(use.node.domain)
            rule = table.get((domain, use.node.op_type), {}).get(use.index)
            if rule is not None:
                site = Site(
                    use, self._outline.version(domain), path.is_whole, shape, self._types,
                    self._outline.constants,
                )  # fmt: skip
                allowed = rule(site)
                if allowed is not None:
                    found.append((allowed, path))
        return found


@dataclass(frozen=True, slots=True)
class _Draw:
    """Draws one tensor."""

    random: np.random.Generator
    element: DType
    shape: tuple[int, ...]

    def tensor(self, domains: Found, hints: Found) -> np.ndarray:
        """Numbers in all the domains, and in the hints as far as those leave room."""
        for domain, path in domains:
            match domain:
                case Exactly(values) if path.is_identity:
                    return self._filled(values)
                case OneOf(values) if path.is_identity:
                    return self._filled(self.random.choice(np.array(values, object), self.shape))
                case Distinct(dims, axis) if path.is_identity:
                    return self._filled(self._distinct(dims, axis))
        low, high, is_real = self._bounds(domains, hints)
        if np.isinf(low) and np.all(np.isinf(high)):
            return self._free()
        return self._filled(self._between(low, high, is_real))

    def _filled(self, values: Any) -> np.ndarray:
        array = np.asarray(values).reshape(-1)
        count = int(np.prod(self.shape))
        if array.size == 1 or array.size != count:
            array = np.resize(array, count)
        return array.reshape(self.shape).astype(self.element.numpy)

    def _bounds(self, domains: Found, hints: Found) -> tuple[float, Any, bool]:
        """What all domains allow; a hint counts where it leaves something."""
        low, high, is_real = -np.inf, np.float64(np.inf), False
        for position, (domain, path) in enumerate((*domains, *hints)):
            narrow = self._before(_as_range(domain), path)
            if narrow is None:
                continue
            new_low, new_high = max(low, narrow.low), np.minimum(high, narrow.high)
            if position < len(domains) or new_low <= np.min(new_high):
                low, high, is_real = new_low, new_high, is_real or narrow.is_real
        return low, high, is_real

    def _before(self, domain: Between | None, path: Path) -> Between | None:
        """The input's range, where what the path leads to has this range."""
        if domain is None:
            return None
        ends = [(domain.low - path.low) / path.scale, (domain.high - path.high) / path.scale]
        if path.scale < 0:
            low = np.max((domain.high - path.high) / path.scale)
            return Between(low, (domain.low - path.low) / path.scale, domain.is_real)
        return Between(ends[0], ends[1], domain.is_real)

    def _between(self, low: float, high: Any, is_real: bool) -> np.ndarray:
        """Numbers of a range, of which one end may be open."""
        if np.isinf(low):
            low = float(np.min(high)) - 9
        high = np.where(np.isinf(high), low + 9, high)
        if np.ndim(high) and (not self.shape or self.shape[-1] != np.shape(high)[0]):
            high = np.min(high)
        if is_real and self.element.is_float:
            return self.random.uniform(low, np.maximum(high, low), self.shape)
        first, last = np.ceil(low - 1e-6), np.floor(high + 1e-6)
        drawn = self.random.integers(first, np.maximum(last, first), self.shape, endpoint=True)
        is_flags = first == 0 and np.ndim(last) == 0 and last == 1
        return self._with_one_per_row(drawn) if is_flags else drawn

    def _with_one_per_row(self, flags: np.ndarray) -> np.ndarray:
        """Masks that hide everything have no meaning: a row of theirs has at least one 1."""
        if flags.ndim and flags.size:
            rows = flags.reshape(-1, flags.shape[-1])
            rows[np.arange(len(rows)), self.random.integers(0, rows.shape[1], len(rows))] = 1
        return flags

    def _distinct(self, dims: tuple[int, ...], axis: int | None) -> np.ndarray:
        if axis is None:
            total, count = int(np.prod(dims)), int(np.prod(self.shape[:-1]))
            chosen = self.random.choice(total, count, replace=count > total) if total else []
            return np.stack(np.unravel_index(np.asarray(chosen, np.int64), dims), axis=-1)
        order = np.moveaxis(np.zeros(self.shape, np.int64), axis, -1)
        size, count = max(dims[0], 1), order.shape[-1]
        numbers = np.resize(np.arange(size), max(size, count))
        rows = [
            self.random.permutation(numbers)[:count] for _ in range(order.size // max(count, 1))
        ]
        return np.moveaxis(np.array(rows, np.int64).reshape(order.shape), -1, axis)

    def _free(self) -> np.ndarray:
        """What nothing restricts."""
        name, numpy_type = self.element.name, self.element.numpy
        if self.element is STRING:
            return self.random.choice(np.array(_WORDS, object), self.shape).reshape(self.shape)
        if name == "bool":
            flags = self.random.integers(0, 2, self.shape)
            return self._with_one_per_row(np.asarray(flags)).astype(bool)
        if name == "float8_e8m0fnu":
            return np.exp2(self.random.integers(-3, 4, self.shape)).astype(numpy_type)
        if self.element.is_float:
            return np.asarray(self.random.standard_normal(self.shape)).astype(numpy_type)
        if name.startswith("complex"):
            parts = self.random.standard_normal((2, *self.shape))
            return (parts[0] + 1j * parts[1]).astype(numpy_type)
        if self.element.bits <= 8:
            low, high = self._limits()
            return self.random.integers(low, high, self.shape, endpoint=True).astype(numpy_type)
        return np.asarray(self.random.integers(0, 10, self.shape)).astype(numpy_type)

    def _limits(self) -> tuple[int, int]:
        """The smallest and the largest number of a small integer type."""
        half = 1 << (self.element.bits - 1)
        return (0, 2 * half - 1) if self.element.name.startswith("uint") else (-half, half - 1)


def _as_range(domain: Domain) -> Between | None:
    """A domain whose content cannot be chosen as a whole, as a range."""
    match domain:
        case Between():
            return domain
        case Distinct(dims, _):
            return Between(0, min(dims, default=1) - 1)
        case Exactly(values):
            numbers = np.asarray(values).reshape(-1)
            return Between(float(numbers[0]), float(numbers[0])) if numbers.size else None
    return None
