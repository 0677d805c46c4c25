"""Recurrent layers: weights packed once."""

from hetu.ir import Node, Value
from hetu.passes.build import make_with
from hetu.passes.facts import argument, constant_array, is_onnx
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.affine import is_given
from hetu.types import FLOAT32

_PLAIN = {"activations": None, "clip": None, "input_forget": 0, "layout": 0}
"""Attributes as torch's kernels have them."""


@fusion("LSTM", inference_only=True)
def lstm(node: Node, site: Site) -> Outcome:
    """An LSTM layer with weights, over sequences of one length."""
    inputs = (*node.inputs, *[None] * 8)[:8]
    x, w, r, b, lengths, hidden, cell, peepholes = inputs
    if not is_onnx(node, "LSTM") or x is None or not site.facts.copies_weights:
        return None
    if not all(weight is None or is_given(weight) for weight in (w, r, b)):
        return None
    if peepholes is not None or any(
        argument(node, name) != wanted for name, wanted in _PLAIN.items()
    ):
        return "its cells or its layout are not those of torch's kernels"
    shape = site.facts.shape(x)
    if site.facts.dtype(x) is not FLOAT32 or shape is None or 0 in shape:
        return "the shape of its sequences is not known, or it has no elements, or no float32"
    if not _fits(node, shape, site):
        return "its weights and states do not fit together"
    if not _is_whole(lengths, shape):
        return "its sequences have lengths"
    direction = argument(node, "direction")
    sides = range(2 if direction == "bidirectional" else 1)
    packing = [
        make_with("PackLSTM", inputs[1:4], [None] * 4, {"side": side, "direction": direction})
        for side in sides
    ]
    weights = [output for each in packing for output in each.outputs]
    given = {"direction": direction}
    likes = (*node.outputs, None, None)[:3]
    fresh = make_with("LSTM", [x, hidden, cell, *weights], likes, given)
    return Replacement([*packing, fresh], fresh.outputs)


def _fits(node: Node, shape: tuple[int, ...], site: Site) -> bool:
    """Whether shapes are as they have to be, which oneDNN does not check."""
    _, w, r, b, _, hidden, cell, _ = (*node.inputs, *[None] * 8)[:8]
    of_states = site.facts.shape(r)
    if len(shape) != 3 or of_states is None or len(of_states) != 3:
        return False
    sides, rows, size = of_states
    state = sides, shape[1], size
    wanted = {w: (sides, rows, shape[2]), b: (sides, 2 * rows), hidden: state, cell: state}
    is_both = argument(node, "direction") == "bidirectional"
    return (sides, rows) == (1 + is_both, 4 * size) and all(
        value is None or site.facts.shape(value) == expected for value, expected in wanted.items()
    )


def _is_whole(lengths: Value | None, shape: tuple[int, ...]) -> bool:
    """Whether all sequences are known to have all steps."""
    if lengths is None:
        return True
    known = constant_array(lengths)
    return known is not None and bool((known == shape[0]).all())
