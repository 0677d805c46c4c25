"""Computes what depends on constants alone."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch

from hetu.convert import to_numpy
from hetu.ir import Graph, Node, Substitution, Tensor, Value
from hetu.ops.registry import find
from hetu.passes.build import constant

MAX_GROWN_BYTES = 1 << 24
"""A result that is larger than this and than its inputs is left to be computed at run time."""


def fold(
    graph: Graph, evaluate: Callable[[Node], Sequence[Any]], kept_values: Collection[Value] = ()
) -> Graph:
    """The graph with constants in place of the nodes that have only constant inputs.

    `evaluate` runs one node whose inputs are all constants. What depends on `kept_values` stays.
    """
    values = Substitution()
    kept = []
    for original in graph.nodes:
        node = values.node(original)
        results = _results(node, evaluate) if _is_foldable(node, kept_values) else None
        if results is None:
            kept.append(node)
            continue
        for old, result in zip(original.outputs, results, strict=False):
            if old is not None:
                values[old] = constant(result, old.name)
    return values.graph(graph, kept)


def _is_foldable(node: Node, kept_values: Collection[Value]) -> bool:
    if not all(v is None or (v.constant and v not in kept_values) for v in node.inputs):
        return False
    kernel = None if node.function else find(node.domain, node.op_type, node.version)
    return kernel is not None and kernel.is_pure and not node.has_graphs


def _results(node: Node, evaluate: Callable[[Node], Sequence[Any]]) -> list[np.ndarray] | None:
    try:
        results = evaluate(node)
    except Exception:
        return None
    if not all(isinstance(result, torch.Tensor | np.ndarray) for result in results):
        return None
    arrays = [to_numpy(result) for result in results]
    given = sum(v.data.array.nbytes for v in node.inputs if v and isinstance(v.data, Tensor))
    return arrays if sum(a.nbytes for a in arrays) <= max(MAX_GROWN_BYTES, given) else None
