"""Values as users hold them, and the one place where nodes are made by hand."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from numbers import Integral, Real
from typing import Any, ClassVar, cast

import numpy as np

from hetu import ir
from hetu.api.opset import version_for
from hetu.errors import UsageError, show
from hetu.ops.registry import ATTRIBUTE_KINDS, HOST_KINDS, Kernel, Parameter, find
from hetu.types import BOOL, FLOAT32, INT64, DType, TensorType, dtype

_HOST_TYPES = {
    "Ints": np.int64,
    "int": np.int64,
    "Floats": np.float32,
    "float": np.float32,
    "bool": np.bool_,
}
_OWN_TYPES = {"Indices": INT64, "Mask": BOOL}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Value(ir.Value):
    """A value of a graph. Python's operators and indexing build further nodes."""

    __array_ufunc__: ClassVar[None] = None  # numpy leaves `array @ value` to the value

    @property
    def inputs(self) -> list[ir.Value]:
        """The values that the node behind this one uses."""
        return [value for value in self.node.inputs if value is not None] if self.node else []

    @property
    def op_type(self) -> str:
        """The operator behind this value; `Placeholder` for feeds and variables."""
        return self.node.op_type if self.node else "Placeholder"

    @property
    def id(self) -> int:
        """A number that grows in the order values are made."""
        return self.serial

    def __add__(self, other: Any) -> "Value":
        return make("Add", self, other)

    def __radd__(self, other: Any) -> "Value":
        return make("Add", self, other)

    def __sub__(self, other: Any) -> "Value":
        return make("Sub", self, other)

    def __rsub__(self, other: Any) -> "Value":
        return make("Sub", other, self)

    def __mul__(self, other: Any) -> "Value":
        return make("Mul", self, other)

    def __rmul__(self, other: Any) -> "Value":
        return make("Mul", self, other)

    def __truediv__(self, other: Any) -> "Value":
        return make("Div", self, other)

    def __rtruediv__(self, other: Any) -> "Value":
        return make("Div", other, self)

    def __matmul__(self, other: Any) -> "Value":
        return make("MatMul", self, other)

    def __rmatmul__(self, other: Any) -> "Value":
        return make("MatMul", other, self)

    def __pow__(self, other: Any) -> "Value":
        is_float = self.dtype is not None and self.dtype.is_float
        if isinstance(other, int) or (isinstance(other, float) and is_float):
            other = constant(other, self.dtype)
        return make("Pow", self, other)

    def __rpow__(self, other: Any) -> "Value":
        return make("Pow", other, self)

    def __neg__(self) -> "Value":
        return make("Neg", self)

    def __getitem__(self, key: Any) -> "Value":
        return _index(self, key if isinstance(key, tuple) else (key,))

    def __iter__(self) -> Any:
        raise TypeError("a value has no length while the graph is built; index or split it instead")


def constant(content: Any, element: DType | None = None, name: str = "") -> Value:
    """A constant of the graph, from anything numpy makes an array of."""
    array = np.asarray(content)
    if (
        element is None
        and not isinstance(content, np.ndarray | np.generic)
        and array.dtype.kind == "f"
    ):
        element = FLOAT32
    if element is not None:
        array = array.astype(element.numpy)
    data = ir.Tensor(array)
    return Value(name, data.type, data=data, constant=True)


def make(op_type: str, *inputs: Any, outputs: int | None = None, **options: Any) -> Any:
    """Make a node of `op_type` and return its output, or the tuple of its outputs.

    Inputs are values or constants, by position or by name; options are attributes by name. What is
    an input in one version of the operator and an attribute in another goes where the version in
    force wants it. `outputs` is how many outputs the node has, where that is not plain; `domain`,
    `name` and `version` may be among the options. Raises `UsageError`.
    """
    domain, name = options.pop("domain", ""), options.pop("name", "")
    given = [value for value in (*inputs, *options.values()) if isinstance(value, ir.Value)]
    version = options.pop("version", None) or version_for(domain, given)
    kernel = find(domain, op_type, version)
    if kernel is None:
        raise UsageError(f"opset {version} of domain {show(domain or 'ai.onnx')} has no {op_type}")
    if outputs is None:
        outputs = kernel.n_required
    values, attributes = _sort(kernel, inputs, options)
    node = ir.Node(op_type, values, attributes, domain=domain, version=version, name=name)
    types = _output_types(kernel, values, attributes, outputs)
    made = [Value("", value_type, node, index) for index, value_type in enumerate(types)]
    ir.add_outputs(node, made)
    return made[0] if outputs == 1 else tuple(made)


def _sort(
    kernel: Kernel, inputs: Sequence[Any], options: Mapping[str, Any]
) -> tuple[tuple[ir.Value | None, ...], dict[str, ir.Attribute]]:
    """The node's inputs and attributes."""
    positional = {p.name: i for i, p in enumerate(kernel.inputs)}
    contents = list(inputs)
    attributes = {}
    for key, content in options.items():
        if key in positional:
            contents += [None] * (positional[key] + 1 - len(contents))
            contents[positional[key]] = content
        elif content is None:
            continue
        elif (parameter := kernel.attribute(key)) is not None:
            attributes[key] = attribute(kernel, replace(parameter, name=key), content)
        else:
            known = ", ".join((*positional, *kernel.attributes))
            raise UsageError(f"{kernel.op_type} has no {show(key)}; it has: {known}")
    contents = _spill(kernel, contents, attributes)
    _check_complete(kernel, contents, attributes)
    known = [c.dtype for c in contents if isinstance(c, ir.Value) and c.dtype]
    element = next(_tensor_types(kernel, contents), next(iter(known), None))
    return tuple(_input(kernel, i, c, element) for i, c in enumerate(contents)), attributes


def _spill(kernel: Kernel, contents: list[Any], attributes: dict[str, ir.Attribute]) -> list[Any]:
    """Inputs beyond those of an early version become the attributes that stood in their place."""
    while contents and contents[-1] is None:
        contents.pop()
    room = len(kernel.inputs)
    if kernel.variadic is not None or len(contents) <= room:
        return contents
    free = [p for p in kernel.attributes.values() if p.name not in attributes]
    for parameter, content in zip(free, contents[room:], strict=False):
        if content is not None:
            attributes[parameter.name] = attribute(kernel, parameter, content)
    if len(contents) - room > len(free):
        raise UsageError(f"{kernel.op_type} takes {room} inputs, {len(contents)} are given")
    return contents[:room]


def _check_complete(
    kernel: Kernel, contents: Sequence[Any], attributes: Mapping[str, ir.Attribute]
) -> None:
    for index, parameter in enumerate(kernel.inputs):
        if parameter.required and (index >= len(contents) or contents[index] is None):
            raise UsageError(f"{kernel.op_type}: input {show(parameter.name)} is missing")
    for parameter in kernel.attributes.values():
        if parameter.required and parameter.name not in attributes:
            raise UsageError(f"{kernel.op_type}: attribute {show(parameter.name)} is missing")


def _input(kernel: Kernel, index: int, content: Any, element: DType | None) -> ir.Value | None:
    if content is None or isinstance(content, ir.Value):
        return content
    parameter = kernel.input_at(index)
    kind = parameter.kind if parameter else "Any"
    if kind in HOST_KINDS:
        array = np.asarray(content, _HOST_TYPES[kind])
        return constant(array.reshape(-1) if kind in ("Ints", "Floats") else array)
    if isinstance(content, np.ndarray):
        return constant(content)
    element = _OWN_TYPES.get(kind, element if kind == "Tensor" else None)
    is_whole = element is not None and element.numpy.kind in "iub"
    if is_whole and (np.asarray(content) % 1).any():
        raise UsageError(
            f"{kernel.op_type}: {show(content)} is no {element}, as the input has to be"
        )
    return constant(content, element)


def _tensor_types(kernel: Kernel, contents: Sequence[Any]) -> Iterator[DType]:
    """The element types of the inputs that share one, as far as they are known."""
    for index, content in enumerate(contents):
        parameter = kernel.input_at(index)
        if parameter is not None and parameter.kind == "Tensor" and isinstance(content, ir.Value):
            yield from [content.dtype] if content.dtype else []


def attribute(kernel: Kernel, parameter: Parameter, content: Any) -> ir.Attribute:
    """A Python value as the attribute that a parameter stands for."""
    kind = ATTRIBUTE_KINDS.get(parameter.kind)
    where = f"{kernel.op_type}: attribute {show(parameter.name)}"
    if isinstance(content, ir.Value):
        raise UsageError(f"{where} is a setting in this opset, not an input; give a number")
    try:
        match parameter.kind:
            case "int" | "bool":
                return ir.Attribute("int", int(content))
            case "float":
                return ir.Attribute("float", float(content))
            case "Ints":
                return ir.Attribute(
                    "ints", tuple(int(element) for element in np.atleast_1d(content))
                )
            case "Floats":
                return ir.Attribute("floats", tuple(float(e) for e in np.atleast_1d(content)))
            case "Strs":
                return ir.Attribute("strings", tuple(str(element) for element in content))
            case "DType":
                return ir.Attribute("int", dtype(content).code)
            case "Tensor":
                return ir.Attribute("tensor", ir.Tensor(np.asarray(content)))
            case "Body" if isinstance(content, ir.Graph):
                return ir.Attribute("graph", content)
            case "str" | "bytes" if isinstance(content, str):
                return ir.Attribute("string", content)
            case "Any":
                return _untyped_attribute(content)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {error}") from error
    raise UsageError(f"{where} is a {kind}, not {show(content)}")


def _untyped_attribute(content: Any) -> ir.Attribute:
    """A Python value as an attribute whose kind only the value tells."""
    match content:
        case ir.Graph():
            return ir.Attribute("graph", content)
        case str():
            return ir.Attribute("string", content)
        case bool() | Integral():
            return ir.Attribute("int", int(content))
        case Real():
            return ir.Attribute("float", float(content))
        case list() | tuple():
            parts = [_untyped_attribute(part) for part in content]
            kinds = {part.kind for part in parts} or {"int"}
            kind = "float" if kinds == {"int", "float"} else kinds.pop()
            number = float if kind == "float" else lambda part: part
            return ir.Attribute(cast(Any, f"{kind}s"), tuple(number(part.value) for part in parts))
    return ir.Attribute("tensor", ir.Tensor(np.asarray(content)))


def _output_types(
    kernel: Kernel,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, ir.Attribute],
    count: int,
) -> list[TensorType | None]:
    """What the kernel's signature says of the outputs' types."""
    fixed = {"Indices": INT64, "HostTensor": INT64, "Mask": BOOL}
    kinds = {name: getattr(kernel.attribute(name), "kind", "") for name in attributes}
    named = [a.value for name, a in attributes.items() if kinds[name] == "DType"]
    data = [a.value.dtype for name, a in attributes.items() if kinds[name] == "Tensor"]
    same = dtype(named[0]) if named else next(chain(_tensor_types(kernel, inputs), data), None)
    returned = kernel.returns[:count] if kernel.returns else ("Tensor",) * count
    elements = [fixed.get(kind, same) for kind in returned]
    return [TensorType(element) if element else None for element in elements]


def _index(value: Value, keys: Sequence[Any]) -> Value:
    """Numpy's basic indexing; one value or list of indices, alone, gathers along the first axis."""
    if len(keys) == 1 and isinstance(keys[0], ir.Value | list | np.ndarray):
        return make("Gather", value, keys[0], axis=0)
    keys = _without_ellipsis(value, keys)
    bounds: list[tuple[int, int, int, int]] = []
    dropped, added, axis = [], [], 0
    for position, key in enumerate(keys):
        if key is None:
            added.append(position - len(dropped))
            continue
        if isinstance(key, slice):
            bounds += _bounds(key, axis)
        elif isinstance(key, int | np.integer):
            bounds.append((int(key), int(key) + 1 or _END, axis, 1))
            dropped.append(axis)
        else:
            raise UsageError(f"cannot index with {show(key)}: use ints, slices, None and ...")
        axis += 1
    if bounds:
        starts, ends, axes, steps = (list(column) for column in zip(*bounds, strict=True))
        uneven = steps if any(step != 1 for step in steps) else None
        value = make("Slice", value, starts=starts, ends=ends, axes=axes, steps=uneven)
    if dropped:
        value = make("Squeeze", value, axes=dropped)
    return make("Unsqueeze", value, axes=added) if added else value


_END = np.iinfo(np.int64).max


def _bounds(key: slice, axis: int) -> list[tuple[int, int, int, int]]:
    step = 1 if key.step is None else key.step
    if key == slice(None):
        return []
    start = key.start if key.start is not None else (0 if step > 0 else _END)
    end = key.stop if key.stop is not None else (_END if step > 0 else -_END)
    return [(start, end, axis, step)]


def _without_ellipsis(value: Value, keys: Sequence[Any]) -> list[Any]:
    if not any(key is Ellipsis for key in keys):
        return list(keys)
    if value.shape is None:
        raise UsageError("'...' needs a value whose rank is known; index every axis instead")
    position = next(i for i, key in enumerate(keys) if key is Ellipsis)
    taken = sum(key is not None and key is not Ellipsis for key in keys)
    fill = [slice(None)] * (len(value.shape) - taken)
    return [*keys[:position], *fill, *keys[position + 1 :]]
