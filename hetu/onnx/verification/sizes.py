"""Sizes for the dimensions that a model leaves open."""

import ast
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import onnx

from hetu.errors import UsageError, show

Sizes = dict[str, int]
Dims = tuple[int | str, ...]
"""A tensor's dimensions: sizes, or names and sums and products of names."""

_OPERATORS: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}

_LEADING, _OTHERS = 2, (8, 12, 16)
_USUAL = (*range(1, 9), 10, 12, 16, 20, 24, 32, 64, 128, 224)
_COMMON_WEIGHTS = 12


def read_dims(info: onnx.ValueInfoProto) -> Dims | None:
    """A tensor's dimensions, the unnamed ones called `name[axis]`; None without a shape."""
    if not info.type.tensor_type.HasField("shape"):
        return None
    dims = info.type.tensor_type.shape.dim
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or f"{info.name}[{axis}]"
        for axis, dim in enumerate(dims)
    )


def symbols(dims: Iterable[Dims]) -> list[str]:
    """The names that sizes have to be found for, in order."""
    texts = (dim for shape in dims for dim in shape if isinstance(dim, str))
    return list(dict.fromkeys(name for text in texts for name in _names(text)))


def evaluate(dims: Dims, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """The shape that some sizes give."""
    return tuple(max(0, d if isinstance(d, int) else _evaluate(d, sizes)) for d in dims)


def bind(dims: Dims, shape: Sequence[int], sizes: Sizes) -> None:
    """Take over the sizes that an array given for an input has."""
    for dim, size in zip(dims, shape, strict=False):
        if isinstance(dim, str) and _names(dim) == [dim]:
            sizes.setdefault(dim, size)


def check_known(sizes: Mapping[str, int], known: Sequence[str]) -> None:
    """Raise `UsageError` for sizes of dimensions that the inputs do not have."""
    for name, size in sizes.items():
        if name not in known:
            listed = ", ".join(map(show, known)) or "none"
            raise UsageError(f"sizes: no input has a dimension {show(name)}; open are {listed}")
        if size < 0:
            raise UsageError(f"sizes: {show(name)} cannot be {size}")


def first_guess(dims: Iterable[Dims], fixed: Mapping[str, int]) -> Sizes:
    """Small sizes: 2 for leading dimensions, which are batches, different ones for the others."""
    dims = list(dims)
    leading = {shape[0] for shape in dims if shape}
    others = (name for name in symbols(dims) if name not in leading)
    guess = {name: _OTHERS[i % len(_OTHERS)] for i, name in enumerate(others)}
    return dict.fromkeys((n for n in symbols(dims) if n in leading), _LEADING) | guess | dict(fixed)


def other_guesses(
    guess: Sizes, fixed: Mapping[str, int], weights: Iterable[onnx.TensorProto]
) -> Iterator[Sizes]:
    """Further sizes to try: equal ones, then one or two that differ from the first guess.

    Sizes of weights are among them, because inputs are multiplied with those.
    """
    free = [name for name in guess if name not in fixed]
    leading = [name for name in free if guess[name] == _LEADING]
    others = [name for name in free if name not in leading]
    for size in (8, 16, 32, 64, 128, 224, 4, 2, 1):
        yield guess | dict.fromkeys(others, size)
    for size in (1, 2, 4, 8):
        yield guess | dict.fromkeys(free, size)
    common = Counter(dim for tensor in weights for dim in tensor.dims if dim > 1)
    sums = (a + b for a, b in combinations(guess.values(), 2))
    pool = dict.fromkeys((*(d for d, _ in common.most_common(_COMMON_WEIGHTS)), *sums, *_USUAL))
    for count in (1, 2):
        for names in combinations(free, count):
            for sizes in product(pool, repeat=count):
                yield guess | dict(zip(names, sizes, strict=True))


def _parse(text: str) -> ast.expr | None:
    """The expression that a dimension's name is; None where it is just a name."""
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    known = (ast.BinOp, ast.Name, ast.Constant, ast.Load, *_OPERATORS)
    is_known = all(isinstance(node, known) for node in ast.walk(tree))
    return tree if is_known and isinstance(tree, ast.BinOp) else None


def _names(text: str) -> list[str]:
    tree = _parse(text)
    return [text] if tree is None else [n.id for n in ast.walk(tree) if isinstance(n, ast.Name)]


def _evaluate(text: str, sizes: Mapping[str, int]) -> int:
    tree = _parse(text)
    return sizes[text] if tree is None else _compute(tree, sizes)


def _compute(tree: Any, sizes: Mapping[str, int]) -> int:
    match tree:
        case ast.Name(id=name):
            return sizes[name]
        case ast.Constant(value=int() as number):
            return number
        case ast.BinOp(left=left, op=op, right=right):
            divisor = _compute(right, sizes)
            if isinstance(op, ast.FloorDiv | ast.Div) and not divisor:
                return 0
            return _OPERATORS[type(op)](_compute(left, sizes), divisor)
    raise UsageError(f"the dimension {ast.unparse(tree)} is no number; pass inputs")
