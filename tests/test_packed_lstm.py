"""LSTM layers on packed weights have ONNX Runtime's results; what they are not made for stays."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import hetu as ht

HIDDEN, INPUTS, LENGTH = 8, 5, 7
DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def model(
    direction: str, names: list[str], given: dict[str, np.ndarray], **attributes: Any
) -> onnx.ModelProto:
    """One layer; what is not in `given` is an input of the model."""
    node = helper.make_node(
        "LSTM", names, ["y", "h", "c"], direction=direction, hidden_size=HIDDEN, **attributes
    )
    floats = [name for name in names if name and name not in given and name != "lengths"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in floats]
    if "lengths" in names and "lengths" not in given:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [None]))
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y", "h", "c")]
    weights = [numpy_helper.from_array(array, name) for name, array in given.items()]
    graph = helper.make_graph([node], "g", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def arrays(direction: str, batch: int) -> dict[str, np.ndarray]:
    random, sides = np.random.default_rng(batch), DIRECTIONS[direction]
    shapes = {
        "x": (LENGTH, batch, INPUTS), "w": (sides, 4 * HIDDEN, INPUTS),
        "r": (sides, 4 * HIDDEN, HIDDEN), "b": (sides, 8 * HIDDEN),
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
    notes = [note for note in executor.explain() if note.fusion == "lstm"]
    assert [not note.reason for note in notes] == [fuses]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("optional", [(), ("b",), ("h0", "c0"), ("b", "c0")])
@pytest.mark.parametrize("batch", [1, 3])
def test_layers(direction: str, optional: tuple[str, ...], batch: int) -> None:
    tensors = arrays(direction, batch)
    names = ["x", "w", "r", *(name if name in optional else "" for name in ("b", "", "h0", "c0"))]
    given = {name: tensors.pop(name) for name in "wrb" if name in names}
    feeds = {name: tensor for name, tensor in tensors.items() if name in names}
    check(model(direction, names, given), feeds, fuses=True)


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
    "attributes", [{"clip": 0.5}, {"input_forget": 1}, {"activations": ["Sigmoid", "Relu", "Tanh"]}]
)
def test_other_cells(attributes: dict[str, Any]) -> None:
    tensors = arrays("forward", 3)
    given = {name: tensors[name] for name in "wr"}
    proto = model("forward", ["x", "w", "r"], given, **attributes)
    check(proto, {"x": tensors["x"]}, fuses=False)


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
    assert any(note.fusion == "lstm" and not note.reason for note in executor.explain("infer"))
