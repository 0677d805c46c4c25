"""Operators of users: `register` makes a torch function the kernel of an operator."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import Any

import numpy as np
import torch

from hetu.convert import to_torch
from hetu.errors import UsageError, show
from hetu.ops.registry import Kernel, add_custom, read_signature
from hetu.types import short_domain

OWN_DOMAIN = "hetu"


def register(
    domain: str,
    op_type: str,
    function: Callable[..., Any] | None = None,
    *,
    since: int = 1,
    buffers: Sequence[str] = (),
    fixed: Sequence[str] = (),
) -> Callable[..., Any]:
    """Let `function` compute the operator `op_type` of `domain`, from version `since` on.

    Positional parameters are the inputs (with a default: optional, `*xs`: variadic), keyword-only
    ones the attributes, `**rest` all others; it returns a tensor, or a tuple in output order.
    Without annotations values come as they are, with those of `hetu.ops.kinds` as they say; `ctx`
    and `n_outputs` are filled in, `buffers` and `fixed` mean what they do for `@op`
    (docs/add-an-operator.md). Gradients are autograd's.

    It goes before hetu's own operator, a function of the model or an earlier registration of that
    name, and serves executors that run for the first time afterwards. Without `function` this is a
    decorator. Returns the function; raises `UsageError`.
    """
    _check(domain, op_type, since)
    if function is None:
        return partial(register, domain, op_type, since=since, buffers=buffers, fixed=fixed)  # pyright: ignore[reportReturnType]
    domain = short_domain(domain)
    kernel = _kernel(function, op_type, since, domain, tuple(buffers), tuple(fixed))
    add_custom(replace(kernel, name=_name(op_type), function=_checked(kernel), is_custom=True))
    return function


def _check(domain: Any, op_type: Any, since: Any) -> None:
    if not isinstance(domain, str) or not isinstance(op_type, str) or not op_type:
        raise UsageError(
            f"register: a domain and an operator are strings, not {show(domain)}, {show(op_type)}"
        )
    if domain == OWN_DOMAIN:
        raise UsageError(f"register: the domain {show(domain)} is hetu's own; take another one")
    if not isinstance(since, int) or since < 1:
        raise UsageError(f"register: since is a version, from 1 on, not {show(since)}")


def _kernel(function: Callable[..., Any], op_type: str, *facts: Any) -> Kernel:
    if not callable(function):
        raise UsageError(f"register: {show(function)} is no function")
    try:
        kernel = read_signature(function, op_type, *facts)
    except (TypeError, ValueError, NameError) as error:
        raise UsageError(
            f"register {show(op_type)}: the signature cannot be read ({error}); "
            "wrap the function in one with plain parameters, as in `lambda x: f(x)`"
        ) from error
    except UsageError as error:
        raise UsageError(f"register {show(op_type)}: {error}; leave it out or take one") from error
    if kernel.returns == ("Any",):  # it says no more than no annotation does
        kernel = replace(kernel, returns=None)
    inputs = [parameter.name for parameter in (*kernel.inputs, kernel.variadic) if parameter]
    for name in (*kernel.buffers, *kernel.fixed):
        if name not in inputs:
            raise UsageError(f"register {show(op_type)}: {show(name)} is no input; it has {inputs}")
    return kernel


def _checked(kernel: Kernel) -> Callable[..., Any]:
    """The kernel's function, with results of a kind that the graph can go on with."""
    function, where = kernel.function, f"{kernel.domain}.{kernel.op_type}"

    @wraps(function)
    def call(*inputs: Any, **options: Any) -> Any:
        results = function(*inputs, **options)
        if isinstance(results, tuple | list):
            return tuple(_value(result, where) for result in results)
        value = _value(results, where)
        return (value,) if kernel.returns is None else value

    return call


def _name(op_type: str) -> str:
    return op_type if op_type.isascii() and op_type.isidentifier() else "custom"


def _value(result: Any, where: str) -> Any:
    if isinstance(result, tuple | list):
        return tuple(_value(element, where) for element in result)
    if isinstance(result, np.ndarray):
        return to_torch(result)
    if result is None or isinstance(result, torch.Tensor | dict):
        return result
    raise UsageError(f"the function of {where} returned {show(result)}; it must return tensors")
