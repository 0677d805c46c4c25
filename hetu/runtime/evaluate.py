"""Runs single nodes, outside of any executor."""

from collections.abc import Mapping
from typing import Any

import torch

from hetu.ir import Graph, Node, Value, dependencies
from hetu.ops.kinds import Context
from hetu.passes.inline import inline
from hetu.runtime.compile import Compiler


def evaluate(
    node: Node, contents: Mapping[Value, Any], context: Context | None = None
) -> tuple[Any, ...]:
    """The outputs of a node, in the runtime's form; `contents` holds its inputs but constants."""
    inputs = tuple(v for v in dict.fromkeys(dependencies(node)) if v in contents)
    graph = Graph(inputs, node.outputs, (node,))
    if node.function is not None or any(node.graphs):
        graph = inline(graph)
    run = Compiler(context or Context(training=False), {}).main(graph)
    with torch.no_grad():
        return run([contents[value] for value in inputs], ())
