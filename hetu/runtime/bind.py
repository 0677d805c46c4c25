"""Binds a node to what it calls: kernel, attributes, the form of each input."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from hetu.convert import to_torch
from hetu.errors import ModelError, UnsupportedError, UsageError, show
from hetu.ir import Attribute, Graph, Node, SparseTensor, Tensor, Value, describe
from hetu.ops.kinds import Context
from hetu.ops.registry import (
    ATTRIBUTE_KINDS,
    HOST_KINDS,
    LEGACY_HINT,
    MOVES,
    Kernel,
    Parameter,
    find,
)
from hetu.runtime.place import placed
from hetu.runtime.widen import widened
from hetu.types import DType, dtype


class Argument(NamedTuple):
    """An input of a call: a value, given through a converter if there is one, or a fixed object."""

    value: Value | None = None
    convert: Callable[[Any], Any] | None = None
    fixed: Any = None


class Call(NamedTuple):
    """What a node runs: its kernel, in the `function` that is called.

    `returns` is the number of results, None where it is the node's own number. `bodies` are the
    graphs, single ones or several, that the function gets as keyword arguments.
    """

    kernel: Kernel
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]
    bodies: Mapping[str, Graph | tuple[Graph, ...]]
    returns: int | None
    buffers: tuple[int, ...] = ()


def find_kernel(node: Node) -> Kernel:
    """The kernel of a node; `UnsupportedError` where there is none."""
    kernel = find(node.domain, node.op_type, node.version)
    if kernel is None:
        raise UnsupportedError(f"{describe(node)}: hetu has no such operator")
    return kernel


def bind(node: Node, context: Context, is_widened: bool) -> Call:
    """The call that a node of a registered operator makes.

    `is_widened` says whether an input may be of a type that torch cannot compute in. Raises
    `ModelError` where the node's inputs or attributes are not the operator's.
    """
    kernel = find_kernel(node)
    _check_inputs(node, kernel)
    if kernel.buffers and not _keeps_buffers(node, kernel):
        context = replace(context, training=None)
    attributes, bodies = _attributes(node, kernel, context)
    function = partial(kernel.function, **attributes) if attributes else kernel.function
    if context.device.type != "cpu":
        function = placed(function, kernel, context.device)
    return Call(
        kernel=kernel,
        function=widened(function, kernel) if is_widened else function,
        arguments=tuple(map(_argument, node.inputs, kernel.parameters)),
        bodies=bodies,
        returns=None if kernel.returns is None else len(kernel.returns),
        buffers=_buffer_positions(kernel, context),
    )


def _keeps_buffers(node: Node, kernel: Kernel) -> bool:
    """Whether a node's buffers are kept: what other nodes compute has no new value to keep.

    Statistics of weights, which a graph computes anew in every run, are what a norm goes by.
    """
    given = zip(kernel.inputs, node.inputs, strict=False)
    return not any(
        parameter.name in kernel.buffers and value is not None and _is_computed(value)
        for parameter, value in given
    )


def _is_computed(value: Value) -> bool:
    """Whether a value is other numbers than leaves hold."""
    source: Value | None = value
    while source is not None and source.node is not None and source.node.op_type in MOVES:
        source = source.node.inputs[0]
    return source is not None and source.node is not None


def _buffer_positions(kernel: Kernel, context: Context) -> tuple[int, ...]:
    if not context.training:
        return ()
    names = [parameter.name for parameter in kernel.inputs]
    return tuple(names.index(name) for name in kernel.buffers)


def _check_inputs(node: Node, kernel: Kernel) -> None:
    if len(node.inputs) == len(kernel.inputs) and None not in node.inputs:
        return
    required = [p for p in kernel.inputs if p.required]
    given = [
        p.name for p, value in zip(kernel.inputs, node.inputs, strict=False) if value is not None
    ]
    missing = [p.name for p in required if p.name not in given]
    if missing:
        raise ModelError(f"{describe(node)}: input {show(missing[0])} is missing")
    if len(node.inputs) > len(kernel.inputs) and kernel.variadic is None:
        raise ModelError(
            f"{describe(node)}: {len(node.inputs)} inputs, the operator takes {len(kernel.inputs)}"
        )


def _attributes(
    node: Node, kernel: Kernel, context: Context
) -> tuple[dict[str, Any], dict[str, Graph | tuple[Graph, ...]]]:
    values: dict[str, Any] = {}
    bodies: dict[str, Graph | tuple[Graph, ...]] = {}
    for name, attribute in node.attributes.items():
        parameter = kernel.attribute(name)
        if parameter is None and name == LEGACY_HINT:
            continue
        if parameter is None:
            known = ", ".join(kernel.attributes) or "none"
            raise ModelError(f"{describe(node)}: unknown attribute {show(name)}; it has: {known}")
        if attribute.kind in ("graph", "graphs") and parameter.kind in ("Body", "Any"):
            _check_is_named(node, name, kernel)
            bodies[name] = attribute.value
        else:
            values[name] = _attribute_value(node, parameter, attribute, context.device)
    for parameter in kernel.attributes.values():
        if parameter.required and parameter.name not in node.attributes:
            raise ModelError(f"{describe(node)}: attribute {show(parameter.name)} is missing")
    if "ctx" in kernel.reserved:
        values["ctx"] = context
    if "n_outputs" in kernel.reserved:
        values["n_outputs"] = len(node.outputs)
    if "node_memory" in kernel.reserved:
        values["node_memory"] = {}
    return values, bodies


def _check_is_named(node: Node, name: str, kernel: Kernel) -> None:
    """Graphs are arguments in generated source, where no name from a file may stand."""
    if name not in kernel.attributes:
        raise UsageError(
            f"{describe(node)}: its function must have a parameter for the graph {show(name)}"
        )


def _attribute_value(
    node: Node, parameter: Parameter, attribute: Attribute, device: torch.device
) -> Any:
    if parameter.kind == "Any":
        return _as_it_comes(attribute, device)
    expected = ATTRIBUTE_KINDS[parameter.kind]
    if attribute.kind.removeprefix("sparse_") != expected:
        raise ModelError(
            f"{describe(node)}: attribute {show(parameter.name)} is of kind {attribute.kind}, "
            f"the operator wants {expected}"
        )
    value = attribute.value
    if parameter.kind == "Tensor":
        return _placed(value, device)
    if parameter.kind == "DType":
        return dtype(value) if value else None
    if parameter.kind == "bytes":
        return value.encode("utf-8", "surrogateescape")
    return bool(value) if parameter.kind == "bool" else value


def _as_it_comes(attribute: Attribute, device: torch.device) -> Any:
    """What a file holds: a Python value, or tensors."""
    match attribute.kind.removeprefix("sparse_"):
        case "tensor":
            return _placed(attribute.value, device)
        case "tensors":
            return tuple(_placed(tensor, device) for tensor in attribute.value)
    return attribute.value


def load_constant(value: Value, device: torch.device) -> torch.Tensor | np.ndarray:
    """A constant's tensor, where it belongs."""
    assert isinstance(value.data, Tensor | SparseTensor)
    return _placed(value.data, device)


def _placed(data: Tensor | SparseTensor, device: torch.device) -> torch.Tensor | np.ndarray:
    """The tensor of an array; what stays on the host: see `place`."""
    return to_torch(data.array, None if is_on_host(data) else device)


def is_on_host(data: Tensor | SparseTensor) -> bool:
    """Whether a constant stays on the host: integers and single numbers do."""
    return not data.dtype.is_float or not data.shape


def is_constant(value: Value) -> bool:
    """Whether a value is part of the program."""
    return value.constant and isinstance(value.data, Tensor | SparseTensor)


def _argument(value: Value | None, parameter: Parameter | None) -> Argument:
    if value is None:
        return Argument(
            fixed=None if parameter is None or parameter.required else parameter.default
        )
    if parameter is None or parameter.kind not in HOST_KINDS:
        return Argument(value)
    convert = _CONVERTERS[parameter.kind]
    if value.constant and isinstance(value.data, Tensor):
        return Argument(fixed=convert(value.data.array))
    return Argument(value, convert)


def ints(value: torch.Tensor | np.ndarray) -> tuple[int, ...]:
    """The elements as Python ints."""
    return tuple(value.reshape(-1).tolist())


def floats(value: torch.Tensor | np.ndarray) -> tuple[float, ...]:
    """The elements as Python floats."""
    return tuple(value.reshape(-1).tolist())


def integer(value: torch.Tensor | np.ndarray) -> int:
    """The only element as an int."""
    return int(value.item())


def real(value: torch.Tensor | np.ndarray) -> float:
    """The only element as a float."""
    return float(value.item())


def boolean(value: torch.Tensor | np.ndarray) -> bool:
    """The only element as a bool."""
    return bool(value.item())


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "Ints": ints, "Floats": floats, "int": integer, "float": real, "bool": boolean,
}  # fmt: skip


def may_be_widened(element: DType | None) -> bool:
    """Whether a value of this type, or of unknown type, may need widening."""
    return element is None or element.is_widened
