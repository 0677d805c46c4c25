"""What lies at one position that is known: a view in the place of a copy."""

from hetu.ir import Node
from hetu.passes.build import make_fused
from hetu.passes.facts import argument, constant_array, is_onnx
from hetu.passes.fusion import Outcome, Site, fusion, replaced


@fusion("Gather")
def select(node: Node, site: Site) -> Outcome:
    """A `Gather` at one position."""
    if not is_onnx(node, "Gather") or site.facts.shape(node.outputs[0]) is None:
        return None
    index, shape = constant_array(node.inputs[1]), site.facts.shape(node.inputs[0])
    if index is None or index.ndim or shape is None:
        return None
    axis = argument(node, "axis")
    if not -len(shape) <= axis < len(shape) or not -shape[axis] <= index < shape[axis]:
        return "there is no such position"
    attributes = {"axis": axis, "index": int(index)}
    return replaced(node, make_fused("Select", node.inputs[:1], node.outputs[0], attributes))
