"""Activations that products and convolutions compute in the same step."""

from hetu.ir import Node
from hetu.passes.facts import argument
from hetu.types import short_domain


def activation_of(node: Node) -> str:
    """What `hetu.ops.native` calls the activation that a node is; "" where it has none such."""
    if short_domain(node.domain):
        return ""
    if node.op_type == "Gelu":
        return "GeluTanh" if argument(node, "approximate") == "tanh" else "Gelu"
    if node.op_type == "Swish":
        return "Silu" if argument(node, "alpha") == 1 else ""
    return node.op_type if node.op_type in ("Relu", "Sigmoid", "Tanh", "HardSwish") else ""
