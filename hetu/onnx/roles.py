"""What each initializer of a model is used for, hence which of them training may change."""

import re
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from enum import Enum

import onnx

from hetu.errors import UsageError, show
from hetu.ops.registry import HOST_KINDS, find
from hetu.types import DTYPES

Trainable = bool | str | re.Pattern[str] | Collection[str] | Callable[[str], bool]
"""True: every weight; False: none; a regex that the whole name matches; names; or a predicate."""

_FLOAT_CODES = frozenset(element.code for element in DTYPES if element.is_float)

FunctionKey = tuple[str, str, str]
Functions = Mapping[FunctionKey, onnx.FunctionProto]


class Role(Enum):
    """WEIGHT: trained; STATE: kept and saved, not trained; CONSTANT: part of the program."""

    WEIGHT = "weight"
    STATE = "state"
    CONSTANT = "constant"


class _Uses:
    """Whether some use of an initializer lets a gradient through."""

    def __init__(self, initializer: onnx.TensorProto | onnx.SparseTensorProto) -> None:
        dense = initializer if isinstance(initializer, onnx.TensorProto) else initializer.values
        self.name = dense.name
        self.rank = len(initializer.dims)
        self.is_float = dense.data_type in _FLOAT_CODES
        self.is_differentiable = False


def find_roles(model: onnx.ModelProto, trainable: Trainable) -> dict[str, Role]:
    """The role of every initializer, by name; branches that share a name share the role.

    A float initializer of rank 1 or more is a weight unless all its uses take it as state or
    settings. Raises `UsageError` where `trainable` names what the model does not have.
    """
    functions = {(f.domain, f.name, f.overload): f for f in model.functions}
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    uses = _Scan(functions).graph(model.graph, opsets)
    candidates = [use for use in uses if use.is_float and use.is_differentiable]
    selected = _selected(candidates, trainable)
    return {use.name: _role(use, use in selected) for use in uses}


def _role(use: _Uses, is_selected: bool) -> Role:
    if is_selected:
        return Role.WEIGHT
    return Role.STATE if use.is_float and use.rank > 0 else Role.CONSTANT


def _selected(candidates: list[_Uses], trainable: Trainable) -> set[_Uses]:
    if isinstance(trainable, bool):
        return {use for use in candidates if trainable and use.rank > 0}
    if isinstance(trainable, str):
        trainable = re.compile(trainable)
    if isinstance(trainable, re.Pattern):
        pattern = trainable
        return {use for use in candidates if pattern.fullmatch(use.name)}
    if callable(trainable):
        return {use for use in candidates if trainable(use.name)}
    missing = set(trainable) - {use.name for use in candidates}
    if missing:
        known = ", ".join(show(use.name) for use in candidates[:8])
        raise UsageError(
            f"trainable: {', '.join(map(show, sorted(missing)))} is no weight of the model; "
            f"it has {known}"
        )
    return {use for use in candidates if use.name in trainable}


class _Scan:
    """Walks graphs and functions; remembers which inputs of functions let gradients through."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._differentiable: dict[FunctionKey, set[str]] = {}

    def graph(
        self,
        graph: onnx.GraphProto,
        opsets: Mapping[str, int],
        outer: MutableMapping[str, _Uses] | None = None,
    ) -> list[_Uses]:
        """The initializers of a graph and of all graphs in it, their uses filled in."""
        uses = [_Uses(tensor) for tensor in (*graph.initializer, *graph.sparse_initializer)]
        scope = ChainMap({use.name: use for use in uses}, outer if outer is not None else {})
        for output in graph.output:
            if output.name in scope:
                scope[output.name].is_differentiable = True
        for node in graph.node:
            for name in self._differentiable_names(node, opsets):
                if name in scope:
                    scope[name].is_differentiable = True
            for inner in subgraphs(node):
                uses += self.graph(inner, opsets, scope)
        return uses

    def _differentiable_names(
        self, node: onnx.NodeProto, opsets: Mapping[str, int]
    ) -> Iterator[str]:
        key = (node.domain, node.op_type, node.overload)
        if key in self._functions:
            passing = self._function(key)
            parameters = self._functions[key].input
            yield from (n for n, p in zip(node.input, parameters, strict=False) if p in passing)
            return
        kernel = find(node.domain, node.op_type, opsets.get(node.domain, 1))
        for index, name in enumerate(node.input):
            parameter = kernel.input_at(index) if kernel else None
            if (
                kernel is None
                or parameter is None
                or (
                    parameter.kind not in HOST_KINDS
                    and parameter.name
                    not in (
                        *kernel.buffers,
                        *kernel.fixed,
                    )
                )
            ):
                yield name

    def _function(self, key: FunctionKey) -> set[str]:
        """The inputs of a function that let gradients through."""
        if key in self._differentiable:
            return self._differentiable[key]
        self._differentiable[key] = set()  # a function that calls itself is refused elsewhere
        function = self._functions[key]
        opsets = {entry.domain: entry.version for entry in function.opset_import}
        found = set(function.output)
        pending = list(function.node)
        while pending:
            node = pending.pop()
            found.update(self._differentiable_names(node, opsets))
            pending.extend(inner for graph in subgraphs(node) for inner in graph.node)
        self._differentiable[key] = found & set(function.input)
        return self._differentiable[key]


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
