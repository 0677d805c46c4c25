"""Activations that products and convolutions compute in the same step."""

from hetu.ir import Node, Value
from hetu.passes.build import Given, make_fused
from hetu.passes.facts import argument, is_fused, is_onnx
from hetu.passes.fusion import Outcome, Site, replaced

ACTIVATIONS = (
    "Relu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Gelu", "Swish", "Clip", "LeakyRelu",
)  # fmt: skip


def with_activation(node: Node, op_type: str, site: Site) -> Outcome:
    """The activation `node` in the same step as the fused `op_type` before it."""
    before = open_producer(node.inputs[0], op_type, site)
    activation = _activation(node, site)
    if before is None or not activation:
        return None
    attributes = {**before.attributes, **activation}
    fresh = make_fused(op_type, before.inputs, node.outputs[0], attributes)
    return replaced(node, fresh, before)


def open_producer(value: Value | None, op_type: str, site: Site) -> Node | None:
    """The fused `op_type` that makes a value, if it has no activation and is needed only here."""
    node = value.node if value is not None else None
    if node is None or not is_fused(node, op_type):
        return None
    return None if "activation" in node.attributes or not site.is_only_use(value) else node


def _activation(node: Node, site: Site) -> Given:
    """The attributes that a fused node gets for an activation; none where it has none such."""
    if not is_onnx(node, *ACTIVATIONS):
        return {}
    match node.op_type:
        case "Gelu":
            is_tanh = argument(node, "approximate") == "tanh"
            if not is_tanh and site.facts.has_library:  # which does not compute it exactly
                return {}
            return {"activation": "GeluTanh" if is_tanh else "Gelu"}
        case "Swish":
            return {"activation": "Silu"} if argument(node, "alpha") == 1 else {}
        case "HardSigmoid":
            numbers = float(argument(node, "alpha")), float(argument(node, "beta"))
            return (
                {"activation": "HardSigmoid", "numbers": numbers} if site.facts.has_library else {}
            )
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
