"""Computes what the shapes of the feeds decide.

Tracers such as `torch.compile` know the shapes of tensors, but not what tensors hold. A graph that
computes shapes with tensors is therefore made into one for which they are given.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hetu.convert import to_numpy
from hetu.ir import Graph, Node, Substitution, Value, dependencies
from hetu.ops.kinds import Context
from hetu.passes.fold import constant
from hetu.runtime.bind import find_kernel
from hetu.runtime.evaluate import evaluate

META = torch.device("meta")


def specialize(graph: Graph, given: Mapping[Value, Any]) -> Graph:
    """The graph for feeds and variables like those given, which are on the meta device.

    Every node is run there. What comes out as a host tensor depends on shapes alone: that is what
    host tensors are for. Nodes that fail are left to be computed at run time.
    """
    known = dict(given)
    context = Context(training=True, device=META)
    values = Substitution()
    kept: list[Node] = []
    for original in graph.nodes:
        node = values.node(original)
        results = _run(node, known, context)
        if results and _is_pure(node) and all(map(_is_host, results)):
            pairs = zip(original.outputs, results, strict=False)
            values_of = {v: constant(to_numpy(result), v) for v, result in pairs if v is not None}
            for old, new in values_of.items():
                values[old] = new
            continue
        kept.append(node)
        pairs = zip(node.outputs, results or (), strict=False)
        known.update((value, result) for value, result in pairs if value is not None)
    return values.graph(graph, kept)


def _run(node: Node, known: Mapping[Value, Any], context: Context) -> Sequence[Any] | None:
    if any(value not in known and not value.constant for value in dependencies(node)):
        return None
    try:
        return evaluate(node, known, context)
    except Exception:  # the values, which are not there, decide
        return None


def _is_pure(node: Node) -> bool:
    """Whether a node does the same in every run."""
    return node.function is None and "ctx" not in find_kernel(node).reserved


def _is_host(result: Any) -> bool:
    return isinstance(result, torch.Tensor) and result.device.type == "cpu"
