"""Computes what the shapes of the feeds decide.

Every node is run on torch's meta device, where tensors have shapes and types but no elements. What
comes out as a host tensor depends on shapes alone: that is what host tensors are for.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from hetu.convert import to_numpy
from hetu.ir import Graph, Node, Substitution, Value, dependencies
from hetu.ops.kinds import Context
from hetu.ops.registry import find
from hetu.passes.build import constant
from hetu.passes.fold import MAX_GROWN_BYTES
from hetu.runtime.bind import find_kernel, is_constant
from hetu.runtime.evaluate import evaluate
from hetu.types import TensorType, dtype

META = torch.device("meta")

_PLAIN = {"int", "float", "string", "ints", "floats", "strings"}
"""Kinds of attributes that can be compared by value."""


def specialize(
    graph: Graph, given: Mapping[Value, torch.Tensor], open_values: Collection[Value] = ()
) -> tuple[Graph, dict[Value, TensorType]]:
    """The graph for feeds and variables like those given, which are on the meta device.

    Values that shapes decide are constants in it, and the types of all others that are known are
    returned. Nodes that fail are left to be computed at run time: the values, which are not there,
    decide, so that nothing is known of their results. What depends on `open_values` stays.
    """
    known: dict[Value, Any] = dict(given)
    ran: dict[object, Sequence[Any]] = {}
    context = Context(training=True, device=META)
    values = Substitution()
    kept: list[Node] = []
    is_open = set(open_values)
    for original in graph.nodes:
        node = values.node(original)
        results = _run_once(node, known, context, ran) or ()
        depends = any(value in is_open for value in dependencies(original))
        if depends:
            is_open.update(value for value in original.outputs if value is not None)
        if results and not depends and _is_decided(node, results):
            for old, result in zip(original.outputs, results, strict=False):
                if old is not None:
                    values[old] = constant(to_numpy(result), old.name)
            continue
        kept.append(node)
        pairs = zip(node.outputs, results, strict=False)
        known.update((value, result) for value, result in pairs if value is not None)
    types = {v: _type(t) for v, t in known.items() if isinstance(t, torch.Tensor)}
    return values.graph(graph, kept), types


def _run_once(
    node: Node, known: Mapping[Value, Any], context: Context, ran: dict[object, Sequence[Any]]
) -> Sequence[Any] | None:
    """What `_run` returns; a node like one that ran, on tensors alike, is not run again.

    Layers repeat, and a run on the meta device costs more than all else that is done to a node.
    """
    key = _key(node, known)
    if key in ran:
        return ran[key]
    results = _run(node, known, context)
    if key is not None and results and all(_is_empty(result) for result in results):
        ran[key] = results
    return results


def _key(node: Node, known: Mapping[Value, Any]) -> object | None:
    """All that decides what a node makes of tensors without elements, None where more may."""
    kernel = find(node.domain, node.op_type, node.version)
    if node.function is not None or kernel is None or kernel.is_custom:
        return None
    if any(attribute.kind not in _PLAIN for attribute in node.attributes.values()):
        return None
    inputs: list[object] = []
    for value in node.inputs:
        tensor = known.get(value) if value is not None else None
        if tensor is None:
            inputs.append(value)
        elif _is_empty(tensor):
            like = tuple(tensor.shape), tensor.stride(), tensor.dtype
            inputs.append((value.dtype if value is not None else None, like))
        else:
            return None
    attributes = tuple((name, a.kind, repr(a.value)) for name, a in node.attributes.items())
    return id(kernel), attributes, tuple(inputs), len(node.outputs)


def _is_empty(result: Any) -> bool:
    return isinstance(result, torch.Tensor) and result.device.type == "meta"


def _run(node: Node, known: Mapping[Value, Any], context: Context) -> Sequence[Any] | None:
    if any(value not in known and not is_constant(value) for value in dependencies(node)):
        return None
    try:
        return evaluate(node, known, context)
    except Exception:  # the values, which are not there, decide
        return None


def _is_decided(node: Node, results: Sequence[Any]) -> bool:
    """Whether shapes alone decide what a node makes, in every run, and it is worth keeping."""
    if node.function is not None or not find_kernel(node).is_pure:
        return False
    is_on_host = all(isinstance(r, torch.Tensor) and r.device.type == "cpu" for r in results)
    return is_on_host and sum(r.nbytes for r in results) <= MAX_GROWN_BYTES


def _type(tensor: torch.Tensor) -> TensorType:
    return TensorType(dtype(tensor.dtype), tuple(tensor.shape))
