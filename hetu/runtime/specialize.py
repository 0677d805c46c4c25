"""Computes what the shapes of the feeds decide.

Rules know what the commonest nodes make (`shapes`). Every other node is run on torch's meta device,
where tensors have shapes and types but no elements. What comes out as a host tensor depends on
shapes alone: that is what host tensors are for.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch

from hetu.convert import to_numpy, to_torch
from hetu.ir import Graph, Node, Substitution, Tensor, Value, dependencies
from hetu.ops.kinds import Context
from hetu.ops.registry import Parameter, find
from hetu.passes.build import constant
from hetu.passes.fold import MAX_GROWN_BYTES
from hetu.runtime.bind import find_kernel, is_constant, is_on_host
from hetu.runtime.evaluate import evaluate
from hetu.runtime.meta import META, MetaMode
from hetu.runtime.shapes import Known, infer
from hetu.types import TensorType, dtype

Like = tuple[tuple[int, ...], torch.dtype]
"""Shape and type of a tensor."""

_PLAIN = {"int", "float", "string", "ints", "floats", "strings"}
"""Kinds of attributes that can be compared by value."""


def specialize(
    graph: Graph, given: Mapping[Value, torch.Tensor], open_values: Collection[Value] = ()
) -> tuple[Graph, dict[Value, TensorType]]:
    """The graph for feeds and variables like those given, which are on the meta device.

    Values that shapes decide are constants in it, and the types of all others that are known are
    returned. Nodes that fail are left to be computed at run time: the values, which are not there,
    decide, so that nothing is known of their results. What is computed from the elements of
    `open_values` stays, where these are known.
    """
    shapes = _Shapes(given)
    values = Substitution()
    kept: list[Node] = []
    is_open = {value for value in open_values if value not in given}
    for original in graph.nodes:
        node = values.node(original)
        results = shapes.results(node)
        depends = not is_open.isdisjoint(dependencies(original))
        if is_open:
            _follow(is_open, depends, original, results)
        if results and not depends and _is_decided(node, results):
            for old, result in zip(original.outputs, results, strict=False):
                if old is not None:
                    values[old] = constant(to_numpy(result), old.name)
            continue
        kept.append(node)
        shapes.note(zip(node.outputs, results, strict=False))
    return values.graph(graph, kept), shapes.types


def _follow(is_open: set[Value], depends: bool, node: Node, results: Sequence[Any]) -> None:
    """Take a node's outputs up into the values that stay open, or out of them."""
    for value, result in zip_longest(node.outputs, results):
        if value is None:
            continue
        if isinstance(result, torch.Tensor) and result.is_meta:
            is_open.discard(value)  # what is computed without its elements comes from its shape
        elif depends:
            is_open.add(value)


def empty(like: Like) -> torch.Tensor:
    """A tensor of a shape and type, on the meta device."""
    return torch.empty(like[0], dtype=like[1], device=META)


class _Shapes:
    """What nodes make of tensors without elements; `types` are those of all values that are known.

    A node like one that ran, on tensors alike, is not run again: layers repeat, and a run on the
    meta device costs more than all else that is done to a node. So there is one tensor for all that
    are alike, and nodes are compared by which tensors they get.
    """

    def __init__(self, given: Mapping[Value, torch.Tensor]) -> None:
        self.types: dict[Value, TensorType] = {}
        self._known: dict[Value, Any] = {}
        self._context = Context(training=True, device=META)
        self._ran: dict[object, Sequence[Any]] = {}
        self._alike: dict[object, torch.Tensor] = {}
        self._types: dict[int, TensorType] = {}
        self.note((value, self._only(tensor)) for value, tensor in given.items())

    def note(self, contents: Iterable[tuple[Value | None, Any]]) -> None:
        """Take values for known."""
        for value, content in contents:
            if value is None:
                continue
            self._known[value] = content
            if isinstance(content, torch.Tensor):
                self.types[value] = self._types.get(id(content)) or _type(content)

    def results(self, node: Node) -> Sequence[Any]:
        """What a node makes; nothing where it fails or where its inputs are not known."""
        key = self._key(node)
        if key in self._ran:
            return self._ran[key]
        made = self._inferred(node) or _run(node, self._known, self._context) or ()
        results = tuple(map(self._only, made))
        if key is not None and results and all(id(result) in self._types for result in results):
            self._ran[key] = results
        return results

    def _inferred(self, node: Node) -> Sequence[Any] | None:
        """What rules know that a node makes."""
        inputs = [None if value is None else self._type(value) for value in node.inputs]
        given = zip(node.inputs, inputs, strict=True)
        if any(value is not None and found is None for value, found in given):
            return None
        made = infer(node, inputs)
        if made is None:
            return None
        if made.array is not None:
            return (to_torch(made.array),)
        return (torch.empty(made.shape, dtype=made.dtype.torch, device=META),)

    def _type(self, value: Value) -> Known | None:
        """What is known of a tensor without elements, or of a constant one."""
        content, data = self._known.get(value), value.data
        if content is not None:
            is_empty = id(content) in self._types
            return Known(dtype(content.dtype), tuple(content.shape)) if is_empty else None
        if not value.constant or not isinstance(data, Tensor):
            return None
        return Known(data.dtype, data.shape, data.array if is_on_host(data) else None)

    def _only(self, content: Any) -> Any:
        """The one tensor for all without elements that are like `content`."""
        if not isinstance(content, torch.Tensor) or not content.is_meta or content.is_sparse:
            return content
        key = tuple(content.shape), content.stride(), content.dtype
        if key not in self._alike:
            self._alike[key] = content
            self._types[id(content)] = _type(content)
        return self._alike[key]

    def _key(self, node: Node) -> object | None:
        """All that decides what a node makes of its inputs, None where more may."""
        kernel = find(node.domain, node.op_type, node.version)
        if node.function is not None or kernel is None or kernel.is_custom:
            return None
        inputs: list[object] = []
        for value, parameter in zip(node.inputs, kernel.parameters, strict=False):
            tensor = self._known.get(value) if value is not None else None
            if tensor is None or value is None:
                inputs.append(_of_constant(value, parameter))
            elif id(tensor) in self._types:
                inputs.append((value.dtype, id(tensor)))
            else:
                return None
        if not node.attributes:
            return kernel, tuple(inputs), len(node.outputs)
        if any(attribute.kind not in _PLAIN for attribute in node.attributes.values()):
            return None
        attributes = tuple((name, a.kind, repr(a.value)) for name, a in node.attributes.items())
        return kernel, tuple(inputs), len(node.outputs), attributes


def _of_constant(value: Value | None, parameter: Parameter | None) -> object:
    """What of a constant decides shapes: of indices, their own shape and type alone."""
    is_index = parameter is not None and parameter.kind == "Indices"
    if is_index and value is not None and value.constant and isinstance(value.data, Tensor):
        return value.data.type
    return value


def _run(node: Node, known: Mapping[Value, Any], context: Context) -> Sequence[Any] | None:
    if any(value not in known and not is_constant(value) for value in dependencies(node)):
        return None
    try:
        with MetaMode():
            return evaluate(node, known, context)
    except Exception:  # the values, which are not there, decide
        return None


def _is_decided(node: Node, results: Sequence[Any]) -> bool:
    """Whether shapes alone decide what a node makes, in every run, and it is worth keeping."""
    if not all(isinstance(result, torch.Tensor) and result.is_cpu for result in results):
        return False
    if node.function is not None or not find_kernel(node).is_pure:
        return False
    return sum(result.nbytes for result in results) <= MAX_GROWN_BYTES


def _type(tensor: torch.Tensor) -> TensorType:
    return TensorType(dtype(tensor.dtype), tuple(tensor.shape))
