"""A copy of a graph that computes in float64 what the graph computes in smaller floats."""

from dataclasses import replace

import numpy as np

from hetu.ir import Attribute, Graph, Node, Substitution, Tensor
from hetu.ops.registry import find
from hetu.types import dtype

ZERO = Attribute("tensor", Tensor(np.zeros(1)))
SMALLER = ("float32", "float16", "bfloat16")
FLOAT64 = dtype("float64")


def in_float64(graph: Graph, values: Substitution | None = None) -> Graph:
    """The graph with its constants and the types that its nodes ask for in float64."""
    values = values or Substitution()
    nodes = []
    for node in graph.nodes:
        attributes = {
            name: _attribute(node, name, attribute, values)
            for name, attribute in node.attributes.items()
        }
        if node.op_type == "ConstantOfShape":
            attributes.setdefault("value", ZERO)
        nodes.append(values.copy(node, tuple(map(values.optional, node.inputs)), attributes))
    return values.graph(graph, nodes)


def _attribute(node: Node, name: str, attribute: Attribute, values: Substitution) -> Attribute:
    value = attribute.value
    if attribute.kind == "graph" and value is not None:
        return replace(attribute, value=in_float64(value, values))
    if attribute.kind == "tensor" and value is not None and value.dtype.name in SMALLER:
        return replace(attribute, value=Tensor(value.array.astype(np.float64), value.name))
    if _is_type(node, name) and value and dtype(value).name in SMALLER:
        return replace(attribute, value=FLOAT64.code)
    return attribute


def _is_type(node: Node, name: str) -> bool:
    kernel = find(node.domain, node.op_type, node.version)
    return (
        kernel is not None
        and name in kernel.attributes
        and (kernel.attributes[name].kind == "DType")
    )
