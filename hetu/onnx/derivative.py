"""`Gradient` of ai.onnx.preview.training: it names a part of the graph, and differentiates it."""

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import onnx

from hetu import ir
from hetu.api.gradients import gradients
from hetu.api.value import Value, make
from hetu.errors import ModelError, show
from hetu.ir import Function, Graph, Node, Substitution, captures, needed_nodes
from hetu.onnx.proto import read_text


def named_values(node: onnx.NodeProto) -> Iterator[str]:
    """The names of values that a node's attributes hold: those of a Gradient."""
    if (node.domain, node.op_type) == ("ai.onnx.preview.training", "Gradient"):
        for attribute in node.attribute:
            yield from _names(attribute)


def _names(attribute: onnx.AttributeProto) -> Iterator[str]:
    return map(read_text, attribute.strings or [attribute.s])


def derivative(node: onnx.NodeProto, find: Callable[[str], Value]) -> Function | None:
    """What a Gradient runs, None for other nodes; `find` gives the value of a name.

    Where the inputs are the very values that `xs` and `zs` name, the gradient is taken through `y`
    as the graph computes it, else through a copy of the part that computes it from the inputs.
    """
    if not any(named_values(node)):
        return None
    named = {attribute.name: list(map(find, _names(attribute))) for attribute in node.attribute}
    xs, zs, ys = (named.get(key, []) for key in ("xs", "zs", "y"))
    if len(ys) != 1 or len(node.input) != len(xs) + len(zs) or len(node.output) > len(xs):
        raise ModelError(
            f"Gradient {show(node.name)}: one y, one input for each of xs and zs, one output for "
            "each of xs"
        )
    inputs = tuple(Value(value.name, value.type) for value in (*xs, *zs))
    nodes, variables, y = (), inputs[: len(xs)], ys[0]
    if [find(name) for name in node.input] != [*xs, *zs]:
        nodes, variables, y = _copied(y, xs, zs, inputs)
    results = gradients(cast(Value, y), list(variables))
    taken = results[0].node
    assert taken is not None
    body = Graph(inputs, tuple(results), (*nodes, taken))
    return Function(node.domain, node.op_type, body, local=False, captured=captures(body))


def _copied(
    y: Value, xs: Sequence[Value], zs: Sequence[Value], inputs: Sequence[Value]
) -> tuple[tuple[Node, ...], tuple[Value, ...], ir.Value]:
    """The part of the graph between `xs`, `zs` and `y`, over `inputs`: nodes, variables, result.

    An input may be given for several of `xs`, whose gradients differ: each gets a value of its own.
    """
    variables = tuple(make("Fork", value, domain="hetu") for value in inputs[: len(xs)])
    given = zip((*xs, *zs), (*variables, *inputs[len(xs) :]), strict=True)
    values = Substitution(dict(given))
    part = needed_nodes([y], (*xs, *zs))
    copies = [(node, values.node(node)) for node in part]
    nodes = (*(v.node for v in variables), *(fresh for node, fresh in copies if fresh is not node))
    return nodes, variables, values[y]
