"""Recurrent layers: weights packed once."""

from hetu.ir import Node, Value
from hetu.ops.fused.convolution import LIKE_SHAPE
from hetu.passes.build import make_with
from hetu.passes.facts import argument, constant_array, is_onnx
from hetu.passes.fusion import Outcome, Replacement, Site, fusion
from hetu.passes.fusions.affine import is_given
from hetu.types import FLOAT32

_PLAIN = {"clip": None, "input_forget": 0, "layout": 0}
"""Attributes as the kernels have them."""

_CELLS = {
    "RNN": {("tanh",): "RNN Tanh", ("relu",): "RNN Relu"},
    "GRU": {("sigmoid", "tanh"): "GRU"},
    "LSTM": {("sigmoid", "tanh", "tanh"): "LSTM"},
}
"""The kinds of layers that are packed, by operator and activations, the usual ones first."""

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@fusion("LSTM", "GRU", "RNN", inference_only=True)
def recurrent(node: Node, site: Site) -> Outcome:
    """A recurrent layer with weights, over sequences of one length."""
    x, *weights, lengths, hidden, cell, peepholes = _inputs(node)
    if not is_onnx(node, *_GATES) or x is None or not site.facts.copies_weights:
        return None
    if not all(weight is None or is_given(weight) for weight in weights):
        return None
    kind = _kind(node)
    if kind is None or peepholes is not None:
        return "its cells or its layout are not those of a kernel"
    if not site.facts.has_library and kind != "LSTM":
        return "only LSTMs are packed without oneDNN's own library"
    shape = site.facts.shape(x)
    if site.facts.dtype(x) is not FLOAT32 or shape is None or 0 in shape:
        return "the shape of its sequences is not known, or it has no elements, or no float32"
    if not _fits(node, shape, site):
        return "its weights and states do not fit together"
    if not _is_whole(lengths, shape):
        return "its sequences have lengths"
    given = {"direction": argument(node, "direction")}
    name, results, own = "LSTM", 4, {}
    if site.facts.has_library:
        name, results, own = "Recurrent", 3, {"kind": kind}
    layout = {**given, **own, **({LIKE_SHAPE: shape} if own else {})}
    packing = [
        make_with(f"Pack{name}", weights, [None] * results, {**layout, "side": side})
        for side in range(_sides(node))
    ]
    packed = [output for each in packing for output in each.outputs]
    likes = (*node.outputs, None, None)[: 3 if node.op_type == "LSTM" else 2]
    fresh = make_with(name, [x, hidden, cell, *packed], likes, given | own)
    return Replacement([*packing, fresh], fresh.outputs)


def _inputs(node: Node) -> tuple[Value | None, ...]:
    """Sequences, three weights, lengths, two states and peepholes."""
    return (*node.inputs, *[None] * 8)[:8]


def _sides(node: Node) -> int:
    return 2 if argument(node, "direction") == "bidirectional" else 1


def _kind(node: Node) -> str | None:
    """The kind of layer for the kernels; None where they have none such."""
    if any(argument(node, name) not in (wanted, None) for name, wanted in _PLAIN.items()):
        return None
    cells, sides = _CELLS[node.op_type], _sides(node)
    usual = next(iter(cells))
    names = tuple(name.lower() for name in argument(node, "activations") or usual * sides)
    one = names[: len(usual)]
    if names != one * sides:
        return None
    kind = cells.get(one)
    return "GRU reset after" if kind == "GRU" and argument(node, "linear_before_reset") else kind


def _fits(node: Node, shape: tuple[int, ...], site: Site) -> bool:
    """Whether shapes are as they have to be, which oneDNN does not check."""
    _, w, r, b, _, hidden, cell, _ = _inputs(node)
    of_states = site.facts.shape(r)
    if len(shape) != 3 or of_states is None or len(of_states) != 3:
        return False
    sides, rows, size = of_states
    state = sides, shape[1], size
    wanted = {w: (sides, rows, shape[2]), b: (sides, 2 * rows), hidden: state, cell: state}
    return (sides, rows) == (_sides(node), _GATES[node.op_type] * size) and all(
        value is None or site.facts.shape(value) == expected for value, expected in wanted.items()
    )


def _is_whole(lengths: Value | None, shape: tuple[int, ...]) -> bool:
    """Whether all sequences are known to have all steps."""
    if lengths is None:
        return True
    known = constant_array(lengths)
    return known is not None and bool((known == shape[0]).all())
