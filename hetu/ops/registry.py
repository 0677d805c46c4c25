"""Operators: `@op` turns a torch function into the kernel of one (domain, operator, version).

The function's signature is the operator's schema: positional parameters are its inputs,
keyword-only parameters its attributes. `ctx` (a `Context`), `n_outputs` (how many outputs the node
has), `unsigned` (whether inputs in int64 are uint64, False by default) and `node_memory` (a dict
that is the node's own for as long as its plan lasts) are reserved: a kernel that needs them names
them.
"""

import inspect
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from hetu.errors import UsageError, show
from hetu.ops import kinds
from hetu.types import AttributeKind, short_domain

RESERVED = ("ctx", "n_outputs", "unsigned", "node_memory")
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

FUSED = "hetu.fused"
"""The domain of the operators that passes put in the place of others."""

LEGACY_HINT = "consumed_inputs"
"""An attribute of most operators of opset 1: which inputs may be overwritten. It can be ignored."""

MOVES = frozenset({
    "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze",
    "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators whose results are numbers of their inputs, at other places."""

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

    `name` is what generated source calls it: an identifier.

    `variadic` is the parameter of the inputs beyond `inputs`. `returns` holds one kind per output,
    or None for the variadic form `tuple[kind, ...]`; the first `n_required` outputs are not
    optional. In training, a kernel with `buffers` returns their new values after its outputs.
    `fixed` names inputs that hold no weights: no optimizer touches them. `rest` is the parameter of
    the attributes beyond `attributes`, which only operators that users register have.
    """

    name: str
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
    rest: Parameter | None = None
    is_custom: bool = False

    @property
    def is_pure(self) -> bool:
        """Whether results follow from inputs and attributes alone, so that one call is enough.

        Random numbers and the mode are in the context; of users' functions nothing is known.
        """
        return not self.is_custom and "ctx" not in self.reserved

    def attribute(self, name: str) -> Parameter | None:
        """The parameter that the attribute called `name` goes to."""
        return self.attributes.get(name, self.rest)

    @property
    def parameters(self) -> Iterator[Parameter | None]:
        """The parameters of a node's inputs in order, without end; None where it takes no more."""
        return chain(self.inputs, repeat(self.variadic))

    def input_at(self, index: int) -> Parameter | None:
        """The parameter that the input at `index` goes to."""
        return self.inputs[index] if index < len(self.inputs) else self.variadic


@dataclass(slots=True)
class _Registry:
    kernels: dict[tuple[str, str], list[Kernel]] = field(default_factory=dict)
    found: dict[tuple[str, str, int], Kernel] = field(default_factory=dict)

    def add(self, kernel: Kernel) -> None:
        self.found.clear()
        versions = self.kernels.setdefault((kernel.domain, kernel.op_type), [])
        versions[:] = sorted(
            [k for k in versions if k.since != kernel.since] + [kernel], key=lambda k: k.since
        )

    def find(self, domain: str, op_type: str, version: int) -> Kernel | None:
        key = (short_domain(domain), op_type, version)
        if key in self.found:
            return self.found[key]
        versions = self.kernels.get(key[:2], [])
        index = bisect_right(versions, version, key=lambda kernel: kernel.since)
        if not index:
            return None
        self.found[key] = versions[index - 1]
        return versions[index - 1]


_registry = _Registry()
_custom = _Registry()
_newest: dict[tuple[str, str, int], Kernel] = {}
"""What `find` has found: every pass asks for every node's kernel."""


def op(
    op_type: str,
    since: int = 1,
    domain: str = "",
    *,
    buffers: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
    body: str = "",
    calls: Callable[..., Any] | None = None,
) -> Callable[[Function], Function]:
    """Register the decorated function as the kernel of an operator from version `since` on.

    `buffers`: inputs whose new values the kernel returns, after its outputs, when it trains.
    `fixed`: inputs that are no weights (scales, zero points, ...).
    `body`: ONNX text of the function that stands for the operator in an exported file.
    `calls`: what the kernel is where one function of torch does it all on the same inputs; then the
    decorated function states the signature alone.
    """

    def register(function: Function) -> Function:
        kernel = read_signature(function, op_type, since, domain, buffers, fixed)
        does = cast(Function, calls) if calls else function
        _registry.add(replace(kernel, function=does, body=body))
        _newest.clear()
        return does

    return register


def add_custom(kernel: Kernel) -> None:
    """Let a kernel of a user's go before all others of its operator, functions of models too."""
    _custom.add(kernel)
    _newest.clear()


def find_custom(domain: str, op_type: str, version: int) -> Kernel | None:
    """The newest kernel of a user's that is not newer than `version`, or None."""
    return None if not _custom.kernels else _custom.find(domain, op_type, version)


def find(domain: str, op_type: str, version: int) -> Kernel | None:
    """The newest kernel that is not newer than `version`, or None; users' go before hetu's own."""
    key = (domain, op_type, version)
    found = _newest.get(key)
    if found is None:
        found = find_custom(*key) or _registry.find(*key)
        if found is not None:
            _newest[key] = found
    return found


def kernels() -> Iterator[Kernel]:
    """Every kernel of hetu's that models may use, by domain, operator and version."""
    for key in sorted(_registry.kernels):
        if key[0] != FUSED:
            yield from _registry.kernels[key]


def custom_kernels() -> Iterator[Kernel]:
    """Every kernel of users', by domain, operator and version."""
    for key in sorted(_custom.kernels):
        yield from _custom.kernels[key]


def read_signature(
    function: Callable[..., Any],
    op_type: str,
    since: int,
    domain: str,
    buffers: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
) -> Kernel:
    """The kernel that a function's signature states; what has no annotation is of kind `Any`.

    Raises `UsageError` where an annotation is none of `hetu.ops.kinds`.
    """
    signature = inspect.signature(function, eval_str=True)
    inputs, attributes, variadic, rest, reserved = [], {}, None, None, set()
    for parameter in signature.parameters.values():
        if parameter.name in RESERVED and parameter.kind is parameter.KEYWORD_ONLY:
            reserved.add(parameter.name)
            continue
        read = _parameter(parameter)
        match parameter.kind:
            case parameter.KEYWORD_ONLY:
                attributes[read.name] = read
            case parameter.VAR_KEYWORD:
                rest = read
            case parameter.VAR_POSITIONAL:
                variadic = read
            case _:
                inputs.append(read)
    return Kernel(
        getattr(function, "__name__", op_type), function, op_type, domain, since, tuple(inputs),
        variadic, attributes, *_returns(signature.return_annotation), frozenset(reserved),
        buffers, fixed, rest=rest,
    )  # fmt: skip


def _parameter(parameter: inspect.Parameter) -> Parameter:
    """An input that may be left out before one that may not is annotated `X | None`."""
    annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
    is_left_out = parameter.default is REQUIRED and get_origin(annotation) in (Union, UnionType)
    return Parameter(parameter.name, _kind(annotation), None if is_left_out else parameter.default)


def _kind(annotation: Any) -> str:
    """The name of an annotation's kind; `X | None` counts as `X`."""
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not NoneType)
    if get_origin(annotation) is Annotated:
        return annotation.__metadata__[0]
    if annotation not in _KIND_NAMES:
        raise UsageError(f"{show(annotation)} is no annotation of hetu.ops.kinds")
    return _KIND_NAMES[annotation]


def _returns(annotation: Any) -> tuple[tuple[str, ...] | None, int]:
    """The kinds of the outputs, and how many of them are not optional."""
    if annotation is inspect.Signature.empty:
        return None, 1
    if get_origin(annotation) is not tuple or annotation in _KIND_NAMES:
        return (_kind(annotation),), 1
    parts = get_args(annotation)
    if parts[-1] is Ellipsis:
        return None, 1
    optional = [get_origin(part) in (Union, UnionType) for part in parts]
    return tuple(_kind(part) for part in parts), optional.index(True) if any(optional) else len(
        parts
    )
