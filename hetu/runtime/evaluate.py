"""Runs single nodes, outside of any executor."""

from collections.abc import Mapping
from typing import Any

import torch

from hetu.ir import Graph, Node, Value, dependencies
from hetu.ops.kinds import Context
from hetu.passes.inline import inline
from hetu.runtime.bind import bind, load_constant, may_be_widened
from hetu.runtime.compile import Compiler


def evaluate(
    node: Node, contents: Mapping[Value, Any], context: Context | None = None
) -> tuple[Any, ...]:
    """The outputs of a node, in the runtime's form; `contents` holds its inputs but constants."""
    context = context or Context(training=False)
    with torch.no_grad():
        if node.function is not None or node.has_graphs:
            return _compiled(node, contents, context)
        return _called(node, contents, context)


def _called(node: Node, contents: Mapping[Value, Any], context: Context) -> tuple[Any, ...]:
    values = [value for value in node.inputs if value is not None]
    call = bind(node, context, any(may_be_widened(value.dtype) for value in values))
    arguments = []
    for argument in call.arguments:
        if argument.value is None:
            arguments.append(argument.fixed)
            continue
        value = argument.value
        given = contents[value] if value in contents else load_constant(value, context.device)
        arguments.append(argument.convert(given) if argument.convert else given)
    results = call.function(*arguments)
    results = (results,) if call.returns == 1 else tuple(results)
    return tuple(r for r, _ in zip(results, node.outputs, strict=False))


def _compiled(node: Node, contents: Mapping[Value, Any], context: Context) -> tuple[Any, ...]:
    inputs = tuple(v for v in dict.fromkeys(dependencies(node)) if v in contents)
    graph = inline(Graph(inputs, node.outputs, (node,)))
    run = Compiler(context, {}).main(graph)
    return run([contents[value] for value in inputs], ())
