"""What passes ask fused convolutions for."""

from collections.abc import Mapping

from hetu.ir import Attribute, Node
from hetu.passes.facts import is_fused


def packing_of(node: Node) -> Node | None:
    """What packs the weight of a fused convolution; None for other nodes."""
    weight = node.inputs[1] if is_fused(node, "Conv") else None
    return weight.node if weight is not None and is_fused(weight.node, "PackConv") else None


def activation_of(node: Node) -> Mapping[str, Attribute]:
    """The attributes that say which activation a fused convolution has."""
    names = ("activation", "numbers")
    return {name: node.attributes[name] for name in names if name in node.attributes}
