"""Activations that products and convolutions compute in the same step."""

from hetu.ir import Node
from hetu.passes.build import Given
from hetu.passes.facts import argument, is_onnx

ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "HardSwish", "Gelu", "Swish", "Clip", "LeakyRelu")


def activation_of(node: Node) -> Given:
    """The attributes that a fused node gets for an activation; none where it has none such."""
    if not is_onnx(node, *ACTIVATIONS):
        return {}
    match node.op_type:
        case "Gelu":
            is_tanh = argument(node, "approximate") == "tanh"
            return {"activation": "GeluTanh" if is_tanh else "Gelu"}
        case "Swish":
            return {"activation": "Silu"} if argument(node, "alpha") == 1 else {}
        case "LeakyRelu":
            return {"activation": "LeakyRelu", "numbers": (float(argument(node, "alpha")),)}
        case "Clip":
            return _bounds(node)
    return {"activation": node.op_type}


def _bounds(node: Node) -> Given:
    try:
        low, high = argument(node, "min"), argument(node, "max")
    except LookupError:
        return {}
    if low is None or high is None or not float(low) <= float(high):
        return {}
    return {"activation": "Clip", "numbers": (float(low), float(high))}
