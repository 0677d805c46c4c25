"""Changes to a graph that is there already, a loaded model's or one built by hand."""

from collections.abc import Iterable, Mapping, Sequence
from graphlib import CycleError
from typing import Any, overload

from hetu import ir
from hetu.api.value import Value
from hetu.errors import UsageError, show


@overload
def replace(values: Value, replacements: Mapping[Value, Value]) -> Value: ...
@overload
def replace(values: Sequence[Value], replacements: Mapping[Value, Value]) -> list[Value]: ...
@overload
def replace(
    values: Mapping[Any, Value], replacements: Mapping[Value, Value]
) -> dict[Any, Value]: ...
def replace(values: Any, replacements: Mapping[Value, Value]) -> Any:
    """`values` (a value, a list or a dict of them) with others in the place of those behind them.

    `replacements` maps each value to the one that stands in for it: `{feed: value}` joins two
    graphs, `{w: w + a @ b}` changes a weight, `{hidden: hidden + adapter(hidden)}` inserts a layer;
    inside of a stand-in, the value that it stands in for stays what it is. The graph given is not
    changed: what depends on a replaced value is copied, with its names, and variables are shared.
    Raises `UsageError` where element types differ or stand-ins need each other.
    """
    chosen = _as_list(values)
    for value in (*chosen, *replacements, *replacements.values()):
        if not isinstance(value, ir.Value):
            raise UsageError(f"replace takes values of a graph, not {show(value)}")
    for old, new in replacements.items():
        _check_types(old, new)
    try:
        found = ir.substitute(chosen, replacements)
    except CycleError as error:
        raise UsageError(f"replace: {error.args[0]}; replace one after the other") from error
    if isinstance(values, Mapping):
        return {name: found[value] for name, value in values.items()}
    return found[values] if isinstance(values, ir.Value) else [found[value] for value in chosen]


def _as_list(values: Value | Iterable[Value] | Mapping[Any, Value]) -> list[Value]:
    if isinstance(values, ir.Value):
        return [values]
    return list(values.values() if isinstance(values, Mapping) else values)  # pyright: ignore


def _check_types(old: Value, new: Value) -> None:
    if old.dtype is not None and new.dtype is not None and old.dtype is not new.dtype:
        raise UsageError(
            f"replace: {show(old.name)} is {old.dtype}, what stands in for it {new.dtype}; cast it"
        )
