"""Recurrent layers on packed weights: ONNX Runtime's results; what they are not made for stays."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import hetu as ht
from hetu.runtime import plan

HIDDEN, INPUTS, LENGTH = 8, 5, 7
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
RESULTS = {"RNN": ["y", "h"], "GRU": ["y", "h"], "LSTM": ["y", "h", "c"]}


@pytest.fixture(params=["library", "torch"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """oneDNN in its own library, and in torch."""
    if request.param == "torch":
        monkeypatch.setattr(plan, "has_library", lambda: False)
    elif not plan.has_library():
        pytest.skip("oneDNN's library is not there")
    return request.param


def model(
    direction: str,
    names: list[str],
    given: dict[str, np.ndarray],
    op_type: str = "LSTM",
    **attributes: Any,
) -> onnx.ModelProto:
    """One layer; what is not in `given` is an input of the model."""
    results = RESULTS[op_type]
    node = helper.make_node(
        op_type, names, results, direction=direction, hidden_size=HIDDEN, **attributes
    )
    floats = [name for name in names if name and name not in given and name != "lengths"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in floats]
    if "lengths" in names and "lengths" not in given:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [None]))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    weights = [numpy_helper.from_array(array, name) for name, array in given.items()]
    graph = helper.make_graph([node], "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def arrays(direction: str, batch: int, op_type: str = "LSTM") -> dict[str, np.ndarray]:
    random, sides = np.random.default_rng(batch), DIRECTIONS[direction]
    rows = GATES[op_type] * HIDDEN
    shapes = {
        "x": (LENGTH, batch, INPUTS), "w": (sides, rows, INPUTS),
        "r": (sides, rows, HIDDEN), "b": (sides, 2 * rows),
        "h0": (sides, batch, HIDDEN), "c0": (sides, batch, HIDDEN),
    }  # fmt: skip
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def check(proto: onnx.ModelProto, feeds: dict[str, np.ndarray], fuses: bool) -> None:
    wanted = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)
    loaded = ht.onnx.load_onnx(proto)
    executor = ht.Executor(list(loaded.outputs.values()))
    for _ in range(2):
        actual = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
        for ours, theirs in zip(actual, wanted, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    notes = [note for note in executor.explain() if note.fusion == "recurrent"]
    assert [not note.reason for note in notes] == [fuses]


CELLS: list[tuple[str, dict[str, Any]]] = [
    ("LSTM", {}),
    ("GRU", {}),
    ("GRU", {"linear_before_reset": 1}),
    ("RNN", {}),
    ("RNN", {"activations": ["Relu"]}),
]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("optional", [(), ("b",), ("h0", "c0"), ("b", "c0")])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("op_type", "attributes"), CELLS)
def test_layers(
    op_type: str,
    attributes: dict[str, Any],
    direction: str,
    optional: tuple[str, ...],
    batch: int,
    door: str,
) -> None:
    tensors = arrays(direction, batch, op_type)
    states = ("h0", "c0") if op_type == "LSTM" else ("h0",)
    names = ["x", "w", "r", *(name if name in optional else "" for name in ("b", "", *states))]
    given = {name: tensors.pop(name) for name in "wrb" if name in names}
    feeds = {name: tensor for name, tensor in tensors.items() if name in names}
    if "activations" in attributes:
        attributes = {"activations": attributes["activations"] * DIRECTIONS[direction]}
    proto = model(direction, names, given, op_type, **attributes)
    check(proto, feeds, fuses=op_type == "LSTM" or door == "library")


def test_lengths() -> None:
    """Those of all steps, as TensorFlow's exporter states them, are none."""
    tensors = arrays("forward", 3)
    given = {name: tensors[name] for name in "wr"}
    names, feeds = ["x", "w", "r", "", "lengths"], {"x": tensors["x"]}
    whole, short = np.int32([LENGTH] * 3), np.int32([LENGTH, 2, 5])
    check(model("forward", names, {**given, "lengths": whole}), feeds, fuses=True)
    check(model("forward", names, {**given, "lengths": short}), feeds, fuses=False)
    check(model("forward", names, given), {**feeds, "lengths": short}, fuses=False)


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("LSTM", {"clip": 0.5}),
        ("LSTM", {"input_forget": 1}),
        ("LSTM", {"activations": ["Sigmoid", "Relu", "Tanh"]}),
        ("GRU", {"clip": 0.5, "linear_before_reset": 1}),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}),
        ("RNN", {"activations": ["LeakyRelu"], "activation_alpha": [0.2]}),
    ],
)
def test_other_cells(op_type: str, attributes: dict[str, Any]) -> None:
    tensors = arrays("forward", 3, op_type)
    given = {name: tensors[name] for name in "wr"}
    proto = model("forward", ["x", "w", "r"], given, op_type, **attributes)
    check(proto, {"x": tensors["x"]}, fuses=False)


def test_activations_of_two_kinds() -> None:
    tensors = arrays("bidirectional", 3, "RNN")
    given = {name: tensors[name] for name in "wr"}
    proto = model("bidirectional", ["x", "w", "r"], given, "RNN", activations=["Tanh", "Relu"])
    check(proto, {"x": tensors["x"]}, fuses=False)


@pytest.mark.parametrize(
    ("op_type", "activations"), [("LSTM", ["Sigmoid", "Tanh", "Tanh"]), ("RNN", ["Tanh"])]
)
def test_usual_activations_that_are_stated(op_type: str, activations: list[str]) -> None:
    tensors = arrays("forward", 3, op_type)
    given = {name: tensors[name] for name in "wr"}
    proto = model("forward", ["x", "w", "r"], given, op_type, activations=activations)
    check(proto, {"x": tensors["x"]}, fuses=op_type == "LSTM" or plan.has_library())


def test_states_of_another_shape() -> None:
    tensors = arrays("forward", 3)
    proto = model("forward", ["x", "w", "r", "", "", "h0"], {name: tensors[name] for name in "wr"})
    loaded = ht.onnx.load_onnx(proto)
    executor = ht.Executor(list(loaded.outputs.values()))
    with pytest.raises(ht.ModelError, match="initial state"):
        executor.run(feed_dict={"x": tensors["x"], "h0": tensors["h0"][:, :2]})


def test_weights_that_are_put_together_and_change() -> None:
    """As torch's exporter orders the gates; training then changes the weights."""
    tensors = arrays("forward", 3)
    x = ht.Variable(name="x", dtype="float32")
    split = np.split(tensors["w"], 4, 1)
    parts = [ht.Variable(name=f"part{i}", value=part) for i, part in enumerate(split)]
    r = ht.Variable(name="r", value=tensors["r"])
    y = ht.op.LSTM(x, ht.op.Concat(*parts, axis=1), r, hidden_size=HIDDEN, outputs=1)
    step = ht.optim.SGDOptimizer(0.1).minimize(ht.op.ReduceSum(y * y))
    executor = ht.Executor({"train": [step], "infer": [y]})
    session = onnxruntime.InferenceSession(
        model("forward", ["x", "w", "r"], {}).SerializeToString()
    )
    seen = []
    for _ in range(3):
        (actual,) = executor.run(
            "infer", feed_dict={x: tensors["x"]}, convert_to_numpy_ret_vals=True
        )
        now = executor.state_dict()
        w = np.concatenate([now[part.name] for part in parts], 1)
        (wanted,) = session.run(["y"], {"x": tensors["x"], "w": w, "r": now["r"]})
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
        seen.append(actual)
        executor.run("train", feed_dict={x: tensors["x"]})
    assert not np.allclose(seen[0], seen[1])
    assert any(note.fusion == "recurrent" and not note.reason for note in executor.explain("infer"))


@pytest.mark.parametrize("threads", [1, 3])
def test_small_layers_leave_the_number_of_threads(threads: int) -> None:
    tensors = arrays("forward", 1)
    proto = model("forward", ["x", "w", "r"], {name: tensors[name] for name in "wr"})
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        check(proto, {"x": tensors["x"]}, fuses=True)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
