"""RNN, GRU and LSTM."""

from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up


@up("GRU", 3)
def gru(rewrite: Rewrite) -> Results:
    """The schema's default for `direction` was a misspelt `forward`."""
    return rewrite.keep()


def whole_sequence(rewrite: Rewrite) -> Results:
    """Outputs that are named are made; it needs no attribute."""
    return rewrite.keep(without=("output_sequence",))


def batch_second(rewrite: Rewrite) -> Results:
    """`layout=1` puts the batch first; before opset 14 it comes after the sequence."""
    if not rewrite.attribute("layout", 0):
        return plain(rewrite)
    inputs = list(rewrite.node.inputs)
    for index in (0, 5, 6):  # X, initial_h, initial_c
        if rewrite.input(index) is not None:
            inputs[index] = rewrite.op("Transpose", inputs[index], perm=[1, 0, 2])
    y, *states = rewrite.keep(inputs, without=("layout",))
    turned = [y and rewrite.op("Transpose", y, perm=[2, 0, 1, 3])]
    return turned + [v and rewrite.op("Transpose", v, perm=[1, 0, 2]) for v in states]


for _op_type in ("RNN", "GRU", "LSTM"):
    up(_op_type, 7)(whole_sequence)
    down(_op_type, 14)(batch_second)
