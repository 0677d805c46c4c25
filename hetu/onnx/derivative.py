"""`Gradient` of ai.onnx.preview.training, which names the part of a graph to differentiate."""

from collections.abc import Callable

import onnx

from hetu.errors import ModelError, show
from hetu.ir import Attribute, Graph, Substitution, Value, needed_nodes

OPERATOR = ("ai.onnx.preview.training", "Gradient")


def names_referred_to(node: onnx.NodeProto) -> list[str]:
    """What a Gradient refers to by name: its variables, then its target. Nothing for other nodes.

    Raises `ModelError` where inputs and variables do not go together.
    """
    if (node.domain, node.op_type) != OPERATOR:
        return []
    variables = [*_names(node, "xs"), *_names(node, "zs")]
    if len(set(variables)) != len(variables) or len(node.input) != len(variables):
        raise ModelError(
            f"Gradient {show(node.name)}: xs and zs are different names, one for each input"
        )
    return [*variables, *_names(node, "y")]


def differentiated_part(node: onnx.NodeProto, find: Callable[[str], Value]) -> dict[str, Attribute]:
    """The attribute of a Gradient that holds the graph from its variables to its target.

    Empty for any other node. `find` gives the value of a name.
    """
    found = [find(name) for name in names_referred_to(node)]
    if not found:
        return {}
    *variables, target = found
    inputs = tuple(Value(value.name, value.type) for value in variables)
    values = Substitution(dict(zip(variables, inputs, strict=True)))
    nodes = tuple(map(values.node, needed_nodes([target], variables)))
    part = Graph(inputs, (values[target],), nodes)
    return {"part": Attribute("graph", part, derived=True)}


def _names(node: onnx.NodeProto, attribute: str) -> list[str]:
    """The names in an attribute of strings, or of one string."""
    found = [a for a in node.attribute if a.name == attribute]
    texts = [text for a in found for text in (a.strings or [a.s])]
    return [text.decode("utf-8", "replace") for text in texts]
