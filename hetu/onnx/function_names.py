"""What functions are called in an exported model whose parts come from several files."""

from collections.abc import Callable, Sequence

import onnx

from hetu.ir import Function, Model, Namer

Key = tuple[str, str, str]


def name_functions(
    sources: Sequence[Model], write: Callable[[Function], onnx.FunctionProto]
) -> dict[Function, str]:
    """The name of every function of some models, in their order.

    A model that shares names with one before it shares those functions, too, where `write` makes
    the same of all of them; else its own get other names.
    """
    names: dict[Function, str] = {}
    first: dict[Key, Function] = {}
    namer = Namer(function.name for model in sources for function in model.functions)
    for model in sources:
        shared = [function for function in model.functions if _key(function) in first]
        is_same = all(write(function) == write(first[_key(function)]) for function in shared)
        for function in model.functions:
            is_free = _key(function) not in first
            names[function] = function.name if is_free or is_same else namer.unique(function.name)
            first.setdefault(_key(function), function)
    return names


def _key(function: Function) -> Key:
    return function.domain, function.name, function.overload
