"""Graphs inside of a file's nodes."""

from collections.abc import Iterable, Iterator

import onnx

_TYPES = frozenset({
    onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS, onnx.AttributeProto.UNDEFINED
})  # fmt: skip
"""Early files do not say of what type an attribute is."""


def nested_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The nodes, and all in graphs inside of them."""
    pending = list(nodes)
    while pending:
        node = pending.pop()
        yield node
        pending.extend(inner for graph in subgraphs(node) for inner in graph.node)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs among a node's attributes."""
    for attribute in node.attribute:
        if attribute.type in _TYPES:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs
