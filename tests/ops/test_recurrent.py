"""Recurrent layers whose shapes do not fit: torch's kernels would write past the tensors' ends."""

import numpy as np
import pytest

from hetu.errors import ModelError
from tests.support.examples import Call
from tests.test_versions import build, feeds, run

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def layer(op_type: str, rows: int, directions: int = 1, **attributes: object) -> list[object]:
    """Runs a layer of two hidden units over three features."""
    shapes = (3, 2, 3), (directions, rows, 3), (directions, rows, 2), (directions, 2 * rows)
    call = Call([np.ones(shape, np.float32) for shape in shapes], attributes)
    return run(build(call, "", op_type, 14), feeds(call))


@pytest.mark.parametrize("op_type", GATES)
def test_weights_of_another_number_of_gates(op_type: str) -> None:
    layer(op_type, 2 * GATES[op_type])
    for gates in {1, 2, 3, 4, 5, 8} - {GATES[op_type]}:
        with pytest.raises(ModelError, match="r is of shape"):
            layer(op_type, 2 * gates)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize(("direction", "directions"), [("bidirectional", 1), ("reverse", 2)])
def test_weights_of_another_number_of_directions(
    op_type: str, direction: str, directions: int
) -> None:
    with pytest.raises(ModelError, match="r is of shape"):
        layer(op_type, 2 * GATES[op_type], directions, direction=direction)


def test_too_few_activations() -> None:
    with pytest.raises(ModelError, match="the layer needs 3"):
        layer("LSTM", 8, activations=["Sigmoid", "Tanh"])


def test_peepholes_of_another_shape() -> None:
    shapes = (3, 2, 3), (1, 8, 3), (1, 8, 2)
    inputs = [np.ones(shape, np.float32) for shape in shapes]
    call = Call([*inputs, None, None, None, None, np.ones((1, 5), np.float32)])
    with pytest.raises(ModelError, match="p is of shape"):
        run(build(call, "", "LSTM", 14), feeds(call))
