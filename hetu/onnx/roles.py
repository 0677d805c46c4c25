"""What each initializer of a model is used for, hence which of them training may change.

Beside the graph, what torch's exporter notes of an initializer counts: whether it was a parameter
of the module, a buffer, or computed from constants.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache, partial

import onnx

from hetu.errors import UsageError, show
from hetu.onnx.derivative import named_values
from hetu.onnx.nested import subgraphs
from hetu.ops.registry import HOST_KINDS, MOVES, Kernel, find
from hetu.types import DTYPES

Trainable = bool | str | re.Pattern[str] | Collection[str] | Callable[[str], bool]
"""True: every weight; False: none; a regex that the whole name matches; names; or a predicate."""

_FLOAT_CODES = frozenset(element.code for element in DTYPES if element.is_float)
_GRADIENT_KINDS = frozenset({"Tensor", "Any"})

FunctionKey = tuple[str, str, str]
Functions = Mapping[FunctionKey, onnx.FunctionProto]


class Role(Enum):
    """WEIGHT: trained; STATE: kept and saved, not trained; CONSTANT: part of the program."""

    WEIGHT = "weight"
    STATE = "state"
    CONSTANT = "constant"


_ORIGIN = "pkg.torch.export.graph_signature.InputSpec.kind"
_FOLDED = "pkg.onnxscript.optimizer.folded_from"
_QUOTED = re.compile(r"'([^']*)'")
_COMPUTED = re.compile(r"val_\d+")  # what torch's exporter calls values that the module has not
_WRITTEN = re.compile(r"(.*/)?Constant(_\d+)?_output_0")  # and numbers in the module's code


@dataclass(frozen=True, slots=True)
class _Use:
    """How an initializer is used: whether a gradient reaches it, and whether a kernel keeps it.

    `is_parameter` says whether training changes it where nobody chooses otherwise.
    """

    name: str
    rank: int
    is_reached: bool
    is_state: bool
    is_parameter: bool


def find_roles(model: onnx.ModelProto, trainable: Trainable) -> dict[str, Role]:
    """The role of every initializer, by name; branches that share a name share the role.

    A float initializer of rank 1 or more is a weight if a gradient reaches it from an output; what
    is taken only as state or as a setting is none, nor is what torch's exporter notes as a buffer
    or as computed from constants. Raises `UsageError` where `trainable` names what the model does
    not have.
    """
    scan = _Scan({(f.domain, f.name, f.overload): f for f in model.functions})
    scan.graph(model.graph, {entry.domain: entry.version for entry in model.opset_import})
    selected = _selected([use for use in scan.uses if use.is_reached], trainable)
    roles = dict.fromkeys(scan.initializers, Role.CONSTANT)
    for use in scan.uses:
        if use.name in selected:
            roles[use.name] = Role.WEIGHT
        elif use.rank > 0 and (use.is_reached or use.is_state):
            roles[use.name] = Role.STATE
    return roles


def _selected(candidates: list[_Use], trainable: Trainable) -> set[str]:
    names = {use.name for use in candidates}
    if isinstance(trainable, bool):
        return {use.name for use in candidates if trainable and use.is_parameter}
    if isinstance(trainable, str | re.Pattern):
        pattern = re.compile(trainable)
        return {name for name in names if pattern.fullmatch(name)}
    if callable(trainable):
        return {name for name in names if trainable(name)}
    missing = sorted(set(trainable) - names)
    if missing:
        known = ", ".join(show(use.name) for use in candidates[:8])
        raise UsageError(
            f"trainable: {', '.join(map(show, missing))} is no weight of the model; it has {known}"
        )
    return set(trainable)


class _Scan:
    """Follows gradients backwards, from outputs to initializers, through graphs and functions.

    `uses` holds the float initializers, `initializers` the names of all.
    """

    def __init__(
        self, functions: Functions, passing: dict[FunctionKey, set[str]] | None = None
    ) -> None:
        self.uses: list[_Use] = []
        self.initializers: list[str] = []
        self._functions = functions
        self._passing = {} if passing is None else passing
        self._state: set[str] = set()

    def graph(self, graph: onnx.GraphProto, opsets: Mapping[str, int]) -> set[str]:
        """The names that gradients of the graph's outputs reach; notes its initializers."""
        reached = self._reached(graph.node, (info.name for info in graph.output), opsets)
        notes = {info.name: info.metadata_props for info in graph.value_info}
        for tensor in (*graph.initializer, *graph.sparse_initializer):
            dense = tensor if isinstance(tensor, onnx.TensorProto) else tensor.values
            self.initializers.append(dense.name)
            if dense.data_type in _FLOAT_CODES:
                is_reached, is_state = dense.name in reached, dense.name in self._state
                name, rank = dense.name, len(tensor.dims)
                is_parameter = _is_parameter(name, rank, notes.get(name, ()))
                use = _Use(name, rank, is_reached, is_state, is_parameter)
                self.uses.append(use)
        return reached

    def _reached(
        self, nodes: Iterable[onnx.NodeProto], outputs: Iterable[str], opsets: Mapping[str, int]
    ) -> set[str]:
        reached, ordered = set(outputs), list(nodes)
        computed = cache(partial(_computed, ordered))
        for node in reversed(ordered):
            for graph in subgraphs(node) if node.attribute else ():
                reached |= self.graph(graph, opsets)
            if not reached.isdisjoint(node.output[:]):
                reached.update(self._passed_on(node, opsets, computed))
        return reached

    def _passed_on(
        self, node: onnx.NodeProto, opsets: Mapping[str, int], computed: Callable[[], set[str]]
    ) -> Iterator[str]:
        """The inputs that a gradient of a node's outputs goes on to.

        Running statistics are state; those that the graph computes are not.
        """
        domain, op_type = node.domain, node.op_type
        key = (domain, op_type, node.overload)
        if key in self._functions:
            parameters = zip(node.input, self._functions[key].input, strict=False)
            yield from (name for name, p in parameters if p in self._function(key))
            return
        kernel = find(domain, op_type, opsets.get(domain, 1))
        if kernel is None:
            yield from (*node.input, *named_values(node))
            return
        has_gradient = _has_gradient(node, kernel)
        if _takes_all_alike(kernel):
            yield from node.input[:] if has_gradient else ()
            return
        for name, parameter in zip(node.input[:], kernel.parameters, strict=False):
            if parameter is None or parameter.kind in HOST_KINDS:
                continue
            is_state = parameter.name in kernel.buffers and name not in computed()
            if is_state or parameter.name in kernel.fixed:
                self._state.add(name)
            elif has_gradient:
                yield name

    def _function(self, key: FunctionKey) -> set[str]:
        """The names in a function's body that gradients of its outputs reach.

        Initializers in there are part of the program.
        """
        if key not in self._passing:
            self._passing[key] = set()  # a function that calls itself is refused elsewhere
            function = self._functions[key]
            opsets = {entry.domain: entry.version for entry in function.opset_import}
            inner = _Scan(self._functions, self._passing)
            self._passing[key] = inner._reached(function.node, function.output, opsets)
        return self._passing[key]


def _is_parameter(name: str, rank: int, notes: Iterable[onnx.StringStringEntryProto]) -> bool:
    """What torch's exporter notes of an initializer; without a note, its rank decides.

    Optimizers turn constant nodes into initializers, which bear the names of the nodes' outputs.
    """
    noted = {entry.key: entry.value for entry in notes}
    if _ORIGIN in noted:
        return noted[_ORIGIN] == "PARAMETER"
    sources = _QUOTED.findall(noted.get(_FOLDED, ""))
    is_computed = bool(sources) and all(map(_COMPUTED.fullmatch, sources))
    return rank > 0 and not is_computed and not _WRITTEN.fullmatch(name)


@cache
def _takes_all_alike(kernel: Kernel) -> bool:
    """Whether no input is state or a setting: a gradient of the outputs goes on to all of them."""
    parameters = [*kernel.inputs, *filter(None, [kernel.variadic])]
    is_setting = any(parameter.kind in HOST_KINDS for parameter in parameters)
    return not (is_setting or kernel.buffers or kernel.fixed)


@cache
def _type_attributes(kernel: Kernel) -> frozenset[str]:
    """The attributes that say what type an output has."""
    return frozenset(name for name, p in kernel.attributes.items() if p.kind == "DType")


def _has_gradient(node: onnx.NodeProto, kernel: Kernel) -> bool:
    """Whether some output of a node is one that gradients go through."""
    types = _type_attributes(kernel)
    for attribute in node.attribute if types else ():
        if attribute.name in types and attribute.i:
            return attribute.i in _FLOAT_CODES
    return kernel.returns is None or not _GRADIENT_KINDS.isdisjoint(kernel.returns)


def _computed(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    """The values that are other numbers than a graph's inputs and initializers."""
    computed: set[str] = set()
    for node in nodes:
        if node.op_type not in MOVES or not computed.isdisjoint(node.input[:1]):
            computed.update(node.output)
    return computed
