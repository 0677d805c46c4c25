"""Puts one element type in the place of another, as `torch.nn.Module.double` and `half` do."""

from collections.abc import Iterator
from dataclasses import replace

from hetu.ir import (
    Attribute,
    Graph,
    Node,
    SparseTensor,
    Substitution,
    Tensor,
    Value,
    dependencies,
    nested_graphs,
)
from hetu.ops.registry import find
from hetu.types import DType


def retype(graph: Graph, old: DType, new: DType) -> Graph:
    """The graph with `new` in the place of `old` in constants and in what nodes are told to make.

    The bodies of functions stay as they are.
    """
    values = Substitution({v: _constant(v, new) for v in _constants(graph) if v.dtype is old})
    return _graph(graph, old, new, values)


def _constants(graph: Graph) -> Iterator[Value]:
    for inner in nested_graphs(graph):
        used = [v for node in inner.nodes for v in dependencies(node)]
        yield from (v for v in (*used, *inner.outputs) if v is not None and v.constant)


def _constant(value: Value, new: DType) -> Value:
    assert isinstance(value.data, Tensor | SparseTensor)
    data = Tensor(value.data.array.astype(new.numpy))
    return replace(value, type=data.type, data=data)


def _graph(graph: Graph, old: DType, new: DType, values: Substitution) -> Graph:
    return values.graph(graph, [_node(node, old, new, values) for node in graph.nodes])


def _node(node: Node, old: DType, new: DType, values: Substitution) -> Node:
    attributes = {
        name: _attribute(node, name, attribute, old, new, values)
        for name, attribute in node.attributes.items()
    }
    if all(attributes[name] is attribute for name, attribute in node.attributes.items()):
        return values.node(node)
    return values.copy(node, tuple(map(values.optional, node.inputs)), attributes)


def _attribute(
    node: Node, name: str, attribute: Attribute, old: DType, new: DType, values: Substitution
) -> Attribute:
    if attribute.kind == "graph":
        return replace(attribute, value=_graph(attribute.value, old, new, values))
    if isinstance(attribute.value, Tensor) and attribute.value.dtype is old:
        array = attribute.value.array.astype(new.numpy)
        return replace(attribute, value=attribute.value.with_array(array))
    kernel = find(node.domain, node.op_type, node.version)
    parameter = kernel.attributes.get(name) if kernel else None
    is_type = parameter is not None and parameter.kind == "DType" and attribute.value == old.code
    return replace(attribute, value=new.code) if is_type else attribute
