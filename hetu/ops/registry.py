"""Operators: `@op` turns a torch function into the kernel of one (domain, operator, version).

The function's signature is the operator's schema: positional parameters are its inputs,
keyword-only parameters its attributes. `ctx` (a `Context`), `n_outputs` (how many outputs the node
has) and `unsigned` (whether inputs in int64 are uint64, False by default) are reserved: a kernel
that needs them names them.
"""

import inspect
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from hetu.ops import kinds
from hetu.types import AttributeKind

RESERVED = ("ctx", "n_outputs", "unsigned")
REQUIRED = inspect.Parameter.empty

_KIND_NAMES = {
    kinds.Tensor: "Tensor", kinds.Strings: "Strings", kinds.Ints: "Ints", kinds.Floats: "Floats",
    kinds.Strs: "Strs", kinds.DType: "DType", kinds.Body: "Body", Any: "Any",
    int: "int", float: "float", bool: "bool", str: "str", bytes: "bytes",
}  # fmt: skip

ATTRIBUTE_KINDS: dict[str, AttributeKind] = {
    "int": "int", "bool": "int", "DType": "int", "float": "float", "str": "string",
    "bytes": "string", "Ints": "ints", "Floats": "floats", "Strs": "strings",
    "Tensor": "tensor", "Type": "type", "Body": "graph",
}  # fmt: skip
"""What ONNX calls the attribute that a parameter of each kind takes."""

HOST_KINDS = frozenset({"Ints", "Floats", "int", "float", "bool"})

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Parameter:
    """One input or attribute of a kernel; `default` is `REQUIRED` where there is none."""

    name: str
    kind: str
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        """Whether a node must give it."""
        return self.default is REQUIRED


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """A torch function with the schema that its signature states.

    `variadic` is the parameter of the inputs beyond `inputs`. `returns` holds one kind per output,
    or None for the variadic form `tuple[kind, ...]`; the first `n_required` outputs are not
    optional. In training, a kernel with `buffers` returns their new values after its outputs.
    `fixed` names inputs that hold no weights: no optimizer touches them.
    """

    function: Callable[..., Any]
    op_type: str
    domain: str
    since: int
    inputs: tuple[Parameter, ...]
    variadic: Parameter | None
    attributes: dict[str, Parameter]
    returns: tuple[str, ...] | None
    n_required: int
    reserved: frozenset[str]
    buffers: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    body: str = ""

    def input_at(self, index: int) -> Parameter | None:
        """The parameter that the input at `index` goes to."""
        return self.inputs[index] if index < len(self.inputs) else self.variadic


@dataclass(slots=True)
class _Registry:
    kernels: dict[tuple[str, str], list[Kernel]] = field(default_factory=dict)

    def add(self, kernel: Kernel) -> None:
        versions = self.kernels.setdefault((kernel.domain, kernel.op_type), [])
        versions[:] = sorted(
            [k for k in versions if k.since != kernel.since] + [kernel], key=lambda k: k.since
        )


_registry = _Registry()


def op(
    op_type: str,
    since: int = 1,
    domain: str = "",
    *,
    buffers: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
    body: str = "",
) -> Callable[[Function], Function]:
    """Register the decorated function as the kernel of an operator from version `since` on.

    `buffers`: inputs whose new values the kernel returns, after its outputs, when it trains.
    `fixed`: inputs that are no weights (scales, zero points, ...).
    `body`: ONNX text of the function that stands for the operator in an exported file.
    """

    def register(function: Function) -> Function:
        _registry.add(_read_signature(function, op_type, since, domain, buffers, fixed, body))
        return function

    return register


def find(domain: str, op_type: str, version: int) -> Kernel | None:
    """The newest kernel that is not newer than `version`, or None."""
    domain = "" if domain == "ai.onnx" else domain
    versions = _registry.kernels.get((domain, op_type), [])
    index = bisect_right(versions, version, key=lambda kernel: kernel.since)
    return versions[index - 1] if index else None


def kernels() -> Iterator[Kernel]:
    """Every kernel there is, by domain, operator and version."""
    for key in sorted(_registry.kernels):
        yield from _registry.kernels[key]


def _read_signature(
    function: Callable[..., Any],
    op_type: str,
    since: int,
    domain: str,
    buffers: tuple[str, ...],
    fixed: tuple[str, ...],
    body: str,
) -> Kernel:
    hints = get_type_hints(function, include_extras=True)
    inputs, attributes, variadic, reserved = [], {}, None, set()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in RESERVED:
            reserved.add(parameter.name)
            continue
        read = _parameter(parameter, hints[parameter.name])
        if parameter.kind is parameter.KEYWORD_ONLY:
            attributes[read.name] = read
        elif parameter.kind is parameter.VAR_POSITIONAL:
            variadic = read
        else:
            inputs.append(read)
    return Kernel(
        function, op_type, domain, since, tuple(inputs), variadic, attributes,
        *_returns(hints["return"]), frozenset(reserved), buffers, fixed, body,
    )  # fmt: skip


def _parameter(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    """An input that may be left out before one that may not is annotated `X | None`."""
    is_left_out = parameter.default is REQUIRED and get_origin(annotation) in (Union, UnionType)
    return Parameter(parameter.name, _kind(annotation), None if is_left_out else parameter.default)


def _kind(annotation: Any) -> str:
    """The name of an annotation's kind; `X | None` counts as `X`."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not NoneType)
    if get_origin(annotation) is Annotated:
        return annotation.__metadata__[0]
    return _KIND_NAMES[annotation]


def _returns(annotation: Any) -> tuple[tuple[str, ...] | None, int]:
    """The kinds of the outputs, and how many of them are not optional."""
    if get_origin(annotation) is not tuple or annotation in _KIND_NAMES:
        return (_kind(annotation),), 1
    parts = get_args(annotation)
    if parts[-1] is Ellipsis:
        return None, 1
    optional = [get_origin(part) in (Union, UnionType) for part in parts]
    return tuple(_kind(part) for part in parts), optional.index(True) if any(optional) else len(
        parts
    )
