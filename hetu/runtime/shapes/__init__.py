"""What common operators make of inputs whose types and shapes are known, without a call of torch.

A call on torch's meta device takes some hundred microseconds at its first time and some dozens
later, and its code takes memory. The rest is left to it (`runtime/meta`).
"""

from collections.abc import Sequence

from hetu.errors import ModelError
from hetu.ir import Node
from hetu.ops.registry import find
from hetu.passes.facts import is_onnx
from hetu.runtime.shapes import arrange, elementwise, products, windows
from hetu.runtime.shapes.rules import RULES, Known

__all__ = ["Known", "arrange", "elementwise", "infer", "products", "windows"]


def infer(node: Node, inputs: Sequence[Known | None]) -> Known | None:
    """What a node of one output makes; None where there is no rule, or it does not know.

    What users register in the place of an operator makes what it wants, and what is of a type that
    torch cannot compute in has several forms.
    """
    if node.op_type not in RULES or not is_onnx(node, node.op_type) or node.function is not None:
        return None
    since, rule = RULES[node.op_type]
    kernel = find(node.domain, node.op_type, node.version)
    if kernel is None or kernel.is_custom or node.version < since or len(node.outputs) != 1:
        return None
    try:
        made = rule(node, *inputs)
    except (LookupError, ModelError, TypeError, ValueError):  # what is wrong is said when it runs
        return None
    return None if made is None or made.dtype.is_widened else made
