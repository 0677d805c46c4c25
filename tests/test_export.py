"""Export: fidelity, surgery, names, functions, versions, and files that are never half written."""

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import parser

import hetu as ht
from hetu.errors import UnsupportedError, UsageError
from tests.support.compare import assert_same_model

FULL = """<
   ir_version: 10,
   opset_import: ["" : 20, "local" : 2],
   producer_name: "someone", producer_version: "3.1", domain: "org.example", model_version: 7,
   doc_string: "what it is for", metadata_props: ["key": "value", "other": "thing"]
>
graph (float[N, 4] x, bool flag, float[N, 4] unused) => (float[N, M] y, float[N, 4] z)
<float[4, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, int64[1] axes = {1},
 float[2] idle = {1, 2}, float[N, 4] scaled>
{
   scaled = local.scale <factor: float = 0.5> (x)
   dead = Relu (x)
   h = MatMul (scaled, w)
   y = If (flag) <
      then_branch = yes () => (float[N, M] a) { a = Add (h, h) },
      else_branch = no () => (float[N, M] b) <float[1] bias = {3}> { b = Add (h, bias) }
   >
   z = Identity (x)
}
<domain: "local", opset_import: ["" : 20], doc_string: "scales">
scale <factor> (v) => (r) {
   f = Constant <value_float: float = @factor> ()
   r = Mul (v, f)
}
"""


def full_model() -> onnx.ModelProto:
    model = parser.parse_model(FULL)
    model.graph.doc_string = "a graph"
    model.graph.node[2].doc_string = "a node"
    model.graph.node[2].name = "product"
    model.graph.node[2].metadata_props.add(key="layer", value="1")
    model.graph.input[0].doc_string = "an input"
    model.graph.value_info.add(name="nothing makes it").metadata_props.add(key="a", value="b")
    annotation = model.graph.quantization_annotation.add(tensor_name="h")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="idle")
    return model


def export(model: ht.onnx.LoadedModel, path: Path, **options: object) -> onnx.ModelProto:
    outputs = list(model.outputs.values())
    return ht.onnx.export(
        ht.Executor(outputs), list(model.inputs.values()), outputs, path, **options
    )


def test_everything_a_file_says_survives(tmp_path: Path) -> None:
    proto = full_model()
    onnx.checker.check_model(proto)
    exported = export(ht.onnx.load_onnx(proto), tmp_path / "m.onnx")
    assert_same_model(exported, proto)
    assert_same_model(onnx.load(tmp_path / "m.onnx"), proto)


def test_only_trained_weights_differ(tmp_path: Path) -> None:
    proto = full_model()
    model = ht.onnx.load_onnx(proto)
    y = model.outputs["y"]
    loss = ht.op.ReduceSum(y * y, keepdims=0)
    train_op = ht.optim.SGDOptimizer(0.01).minimize(loss)
    outputs = list(model.outputs.values())
    executor = ht.Executor({"train": [loss, train_op], "infer": outputs})
    x = np.ones((2, 4), np.float32)
    executor.run("train", feed_dict={"x": x, "flag": False})
    exported = ht.onnx.export(executor, list(model.inputs.values()), outputs, tmp_path / "m.onnx")
    weights = [g.initializer for g in (exported.graph, proto.graph)]
    ours, theirs = (onnx.numpy_helper.to_array(tensors[0]) for tensors in weights)
    assert np.abs(ours - theirs).max() > 0
    weights[0][0].CopyFrom(weights[1][0])
    branches = [g.node[3].attribute[1].g.initializer[0] for g in (exported.graph, proto.graph)]
    assert onnx.numpy_helper.to_array(branches[0]) != onnx.numpy_helper.to_array(branches[1])
    branches[0].CopyFrom(branches[1])
    assert_same_model(exported, proto)


def test_inputs_in_the_order_given_and_no_others(tmp_path: Path) -> None:
    a, b = ht.Variable(name="a"), ht.Variable(name="b")
    w = ht.Variable(name="w", value=np.float32([2.0]))
    y = a - b * w
    proto = ht.onnx.export(ht.Executor([y]), [b, a], [y], tmp_path / "m.onnx")
    assert [info.name for info in proto.graph.input] == ["b", "a"]
    assert not proto.graph.input[0].type.tensor_type.HasField("shape")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    feeds = {"a": np.float32([5]), "b": np.float32([1, 2])}
    np.testing.assert_array_equal(session.run(None, feeds)[0], [3, 1])


def test_input_shapes_and_metadata(tmp_path: Path) -> None:
    x = ht.Variable(name="x")
    y = x * 2.0
    proto = ht.onnx.export(
        ht.Executor([y]), x, y, tmp_path / "m.onnx",
        input_shapes={"x": ("batch", 3, None)}, metadata={"license": "none"},
    )  # fmt: skip
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert session.get_inputs()[0].shape == ["batch", 3, None]
    assert session.get_outputs()[0].shape == ["batch", 3, None]
    assert session.get_modelmeta().custom_metadata_map == {"license": "none"}
    with pytest.raises(UsageError, match="'y' is not among the inputs"):
        ht.onnx.export(ht.Executor([y]), x, y, tmp_path / "m.onnx", input_shapes={"y": (1,)})


def test_a_missing_input_is_named_and_nothing_written(tmp_path: Path) -> None:
    a, b = ht.Variable(name="a"), ht.Variable(name="b")
    y = a + b
    with pytest.raises(UsageError, match="need 'b', which is not among the inputs"):
        ht.onnx.export(ht.Executor([y]), [a], [y], tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_gradients_have_no_form_in_onnx(tmp_path: Path) -> None:
    x = ht.Variable(name="x")
    (g,) = ht.gradients(x * x, [x])
    with pytest.raises(UnsupportedError, match="Gradient has no form in ONNX"):
        ht.onnx.export(ht.Executor([g]), [x], [g], tmp_path / "m.onnx")


def test_an_unwritable_folder_leaves_nothing(tmp_path: Path) -> None:
    x = ht.Variable(name="x")
    y = x * 2.0
    with pytest.raises(UsageError, match="cannot write"):
        ht.onnx.export(ht.Executor([y]), [x], [y], tmp_path / "none" / "m.onnx")
    with pytest.raises(UsageError, match="it is a folder"):
        ht.onnx.export(ht.Executor([y]), [x], [y], tmp_path)


def test_an_old_file_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"what was there before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    x = ht.Variable(name="x")
    y = x * 2.0
    with pytest.raises(OSError, match="No space"):
        ht.onnx.export(ht.Executor([y]), [x], [y], path)
    assert path.read_bytes() == b"what was there before"
    assert list(tmp_path.iterdir()) == [path]


def test_surgery_on_a_loaded_model(tmp_path: Path) -> None:
    model = ht.onnx.load_onnx(full_model())
    x, hidden = model.inputs["x"], model["h"]
    head = ht.Variable(name="w", value=np.eye(3, dtype=np.float32))
    y = ht.relu_op(hidden) @ head
    assert y.node.version == 20
    proto = ht.onnx.export(ht.Executor([y]), [x], [y], tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [node.op_type for node in proto.graph.node] == ["scale", "MatMul", "Relu", "MatMul"]
    assert proto.graph.node[1].name == "product" and proto.graph.node[1].doc_string == "a node"
    assert [tensor.name for tensor in proto.graph.initializer] == ["w", "w_1"]
    batch = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    weight = np.arange(1, 13, dtype=np.float32).reshape(4, 3)
    (result,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"x": batch})
    np.testing.assert_allclose(result, np.maximum(0.5 * batch @ weight, 0), rtol=1e-5, atol=1e-6)


def test_new_nodes_take_the_opset_of_what_they_are_built_on() -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[N] x) => (float[N] y) { y = Relu(x) }'
    _, y = ht.onnx.load_onnx(parser.parse_model(text))
    reduced = ht.op.ReduceMean(y, axes=[0], keepdims=0)
    assert reduced.node.version == 13
    assert reduced.node.attributes["axes"].value == (0,)
    with ht.opset(18):
        newer = ht.op.ReduceMean(ht.Variable(name="x"), axes=[0])
    assert newer.node.version == 18 and len(newer.node.inputs) == 2


def test_two_models_in_one_graph(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[2] x) => (float[2] y) <float[2] w = {%s}> { y = Add(x, w) }"""
    first, second = (ht.onnx.load_onnx(parser.parse_model(text % w)) for w in ("1, 2", "10, 20"))
    total = first.outputs["y"] * second.outputs["y"]
    inputs = [first.inputs["x"], second.inputs["x"]]
    proto = ht.onnx.export(ht.Executor([total]), inputs, [total], tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    names = [info.name for info in proto.graph.input]
    assert names == ["x", "x_1"]
    ones = np.ones(2, np.float32)
    (result,) = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(
        None, {n: ones for n in names}
    )
    np.testing.assert_array_equal(result, [2 * 11, 3 * 21])


@pytest.mark.parametrize("opset", [13, 17, 18, 21, 23])
def test_hand_built_graphs_at_another_opset(opset: int, tmp_path: Path) -> None:
    def build() -> tuple[ht.Value, ht.Value]:
        x = ht.Variable(name="x")
        y = ht.op.ReduceMean(ht.relu_op(x), axes=[1], keepdims=1)
        return x, ht.op.Squeeze(ht.op.Softmax(y - x, axis=-1), axes=[0])

    batch = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)
    x, y = build()
    expected = ht.Executor([y]).run(feed_dict={x: batch})[0].asnumpy()
    with ht.opset(opset):
        other_x, other_y = build()
    ways = {"built": (other_x, other_y, {}), "converted": (x, y, {"opset": opset})}
    for way, (inputs, outputs, options) in ways.items():
        path = tmp_path / f"{way}.onnx"
        shapes = {inputs: (1, 5)}
        proto = ht.onnx.export(
            ht.Executor([outputs]), inputs, outputs, path, input_shapes=shapes, **options
        )
        assert [(o.domain, o.version) for o in proto.opset_import] == [("", opset)]
        onnx.checker.check_model(proto, full_check=True)
        (result,) = onnxruntime.InferenceSession(path).run(None, {"x": batch})
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_exported_files_are_readable_by_others(tmp_path: Path) -> None:
    x = ht.Variable(name="x")
    y = x * 2.0
    ht.onnx.export(ht.Executor([y]), [x], [y], tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").stat().st_mode & 0o444 == 0o444


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: ht.op.Pad(x, [1, 1], axes=[0]), "Pad-13 .*takes 3 inputs"),
        (lambda x: ht.op.Reshape(x, [0], allowzero=1), "Reshape-13 .*'allowzero'"),
    ],
)
def test_what_an_opset_lacks_is_refused(make: object, message: str, tmp_path: Path) -> None:
    x = ht.Variable(name="x")
    with ht.opset(13):
        y = make(x)
    with pytest.raises(UnsupportedError, match=message):
        ht.onnx.export(ht.Executor([y]), [x], [y], tmp_path / "m.onnx")
