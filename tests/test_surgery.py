"""Graphs that are changed: values replaced, models joined, names and batch sizes other ones."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import parser
from torch import nn

import hetu as ht
from hetu.errors import UnsupportedError, UsageError
from tests.support.compare import assert_same_model

X = np.float32([[1, -2, 3]])


def run(values: Any, **feeds: np.ndarray) -> Any:
    values = values if isinstance(values, list) else [values]
    results = ht.Executor(values).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    return results if len(results) > 1 else results[0]


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options)


def write(inputs: Any, outputs: Any, path: Path, **options: Any) -> onnx.ModelProto:
    outputs = outputs if isinstance(outputs, list) else [outputs]
    proto = ht.onnx.export(ht.Executor(outputs), inputs, outputs, path, **options)
    onnx.checker.check_model(proto, full_check=True)
    return proto


MODEL = """<ir_version: 8, opset_import: ["" : 17], metadata_props: ["by": "someone"]>
g (float[N, 3] x) => (float[N, 3] y, float[N, 3] extra)
<float[3] w = {1, 2, 3}, float[3] b = {5, 5, 5}>
{
   scaled = Mul (x, w)
   hidden = Relu (scaled)
   y = Add (hidden, b)
   extra = Neg (hidden)
}"""


def load(text: str = MODEL) -> ht.onnx.LoadedModel:
    return ht.onnx.load_onnx(parser.parse_model(text))


# replace ------------------------------------------------------------------------------------------


def test_what_depends_on_a_replaced_value_is_copied_and_nothing_else() -> None:
    model = load()
    y, hidden = model["y"], model["hidden"]
    new = ht.replace(y, {hidden: hidden * 10.0})
    np.testing.assert_array_equal(run(new, x=X), 10 * np.maximum(X * [1, 2, 3], 0) + 5)
    np.testing.assert_array_equal(run(y, x=X), np.maximum(X * [1, 2, 3], 0) + 5)
    assert new.name == "y" and new.node.op_type == "Add" and new is not y
    assert ht.replace(model["extra"], {y: y * 2.0}) is model["extra"]


def test_lists_and_dicts_come_back_as_such() -> None:
    model = load()
    stand_in = {model["scaled"]: model["x"]}
    by_name = ht.replace(model.outputs, stand_in)
    assert list(by_name) == ["y", "extra"]
    y, extra = run(ht.replace(list(model.outputs.values()), stand_in), x=X)
    np.testing.assert_array_equal(y, np.maximum(X, 0) + 5)
    np.testing.assert_array_equal(extra, -np.maximum(X, 0))


def test_several_layers_are_inserted_at_once() -> None:
    """Each stand-in is computed from the value it stands in for, with the others in place."""
    x = ht.Variable(name="x")
    first = x + 1.0
    second = first * 2.0
    y = second + 3.0
    both = ht.replace(y, {first: first * first, second: second + 100.0})
    np.testing.assert_array_equal(run(both, x=X), (X + 1) ** 2 * 2 + 100 + 3)


def test_a_stand_in_may_take_other_ways_through_the_graph() -> None:
    x = ht.Variable(name="x")
    h = x * 2.0
    y = h + x
    skipped = ht.replace(y, {h: (h + 1.0) * h + x})
    np.testing.assert_array_equal(run(skipped, x=X), (2 * X + 1) * 2 * X + X + X)


def test_values_change_places() -> None:
    a, b = ht.Variable(name="a"), ht.Variable(name="b")
    swapped = ht.replace(a - b, {a: b, b: a})
    np.testing.assert_array_equal(run(swapped, a=X, b=3 * X), 3 * X - X)


def test_values_used_in_branches_are_replaced() -> None:
    model = load("""<ir_version: 8, opset_import: ["" : 17]>
    g (float[3] x, bool flag) => (float[3] y) {
       h = Neg (x)
       y = If (flag) <then_branch = t () => (float[3] a) { a = Abs (h) },
                      else_branch = e () => (float[3] b) { b = Identity (h) }>
    }""")
    new = ht.replace(model["y"], {model["h"]: model["h"] * 3.0})
    np.testing.assert_array_equal(run(new, x=X[0], flag=np.bool_(True)), 3 * np.abs(X[0]))
    np.testing.assert_array_equal(run(new, x=X[0], flag=np.bool_(False)), -3 * X[0])


def test_wrong_replacements_are_refused() -> None:
    model = load()
    with pytest.raises(UsageError, match="takes values of a graph, not 'hidden'"):
        ht.replace(model["y"], {"hidden": model["x"]})
    with pytest.raises(UsageError, match="'x' is float32, what stands in for it int64; cast"):
        ht.replace(model["y"], {model["x"]: ht.Variable("i", dtype="int64")})
    a, b = ht.Variable(name="a"), ht.Variable(name="b")
    left, right = ht.op.Neg(a), ht.op.Abs(b)
    with pytest.raises(UsageError, match="need each other"):
        ht.replace(left + right, {left: right + 1.0, right: left + 1.0})


def test_a_deep_graph_is_changed_without_recursion() -> None:
    x = ht.Variable(name="x")
    y = first = x + 0.0
    for _ in range(20_000):
        y = y + 1.0
    np.testing.assert_array_equal(run(ht.replace(y, {first: first * 0.0}), x=X), X * 0 + 20_000)


# Recipes: a head, an adapter, two models, a part of a model ---------------------------------------


def test_a_new_head_trains_on_frozen_features(tmp_path: Path) -> None:
    model = ht.onnx.load_onnx(parser.parse_model(MODEL), trainable=False)
    head = ht.Variable(name="head", value=np.zeros((3, 2), np.float32))
    scores = model["hidden"] @ head
    labels = ht.Variable(name="labels", dtype="int64")
    loss = ht.reduce_mean_op(ht.softmaxcrossentropy_sparse_op(scores, labels), [0])
    train_op = ht.optim.SGDOptimizer(0.1).minimize(loss)
    executor = ht.Executor({"train": [loss, train_op]})
    feeds = {"x": np.float32([[1, 0, 0], [0, 1, 0]]), "labels": np.int64([0, 1])}
    losses = [executor.run("train", feed_dict=feeds)[0].asnumpy().item() for _ in range(30)]
    assert losses[0] == pytest.approx(np.log(2)) and losses[-1] < 0.5
    proto = ht.onnx.export(executor, [model["x"]], [scores], tmp_path / "m.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [node.op_type for node in proto.graph.node] == ["Mul", "Relu", "MatMul"]
    assert {t.name for t in proto.graph.initializer} == {"w", "head"}
    (result,) = session(tmp_path / "m.onnx").run(None, {"x": feeds["x"]})
    assert result.argmax(1).tolist() == [0, 1]


def test_a_low_rank_update_of_a_weight() -> None:
    """Only the update trains, and the weight is merged by running what stands in for it."""
    module, x = nn.Linear(4, 3), torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    w = ht.Variable(name="w", value=module.weight.detach().numpy(), trainable=False)
    bias = ht.Variable(name="b", value=module.bias.detach().numpy(), trainable=False)
    feed = ht.Variable(name="x")
    y = ht.op.Gemm(feed, w, bias, transB=1)
    down = ht.Variable(name="down", value=np.full((3, 1), 0.5, np.float32))
    up = ht.Variable(name="up", value=np.float32([[1, 2, 3, 4]]))
    merged = w + down @ up
    tuned = ht.replace(y, {w: merged})
    weight = module.weight.detach() + 0.5 * torch.tensor([[1.0, 2, 3, 4]]).expand(3, 4)
    expected = nn.functional.linear(x, weight, module.bias).detach().numpy()
    np.testing.assert_allclose(run(tuned, x=x.numpy()), expected, rtol=1e-5, atol=1e-6)
    train_op = ht.optim.SGDOptimizer(0.1).minimize(ht.op.ReduceSum(tuned * tuned, keepdims=0))
    assert {value.name for value, _ in train_op} == {"down", "up"}


def test_two_models_become_one(tmp_path: Path) -> None:
    """Both have the same names, other opsets and metadata."""
    first = load()
    text = (
        MODEL.replace('"" : 17', '"" : 13')
        .replace("someone", "another")
        .replace("5, 5, 5", "7, 7, 7")
    )
    second = load(text)
    joined = ht.replace(second["y"], {second["x"]: first["y"]})
    proto = write([first["x"]], joined, tmp_path / "m.onnx")
    names = [name for node in proto.graph.node for name in node.output]
    assert len(set(names)) == len(names) == 6 and names[:3] == ["scaled", "hidden", "y"]
    assert len({tensor.name for tensor in proto.graph.initializer}) == 4
    hidden = np.maximum(X * [1, 2, 3], 0) + 5
    (result,) = session(tmp_path / "m.onnx").run(None, {"x": X})
    np.testing.assert_array_equal(result, np.maximum(hidden * [1, 2, 3], 0) + 7)


def with_functions(factor: int) -> str:
    return f"""<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
    g (float[N, 3] x) => (float[N, 3] y) {{ y = f.outer (x) }}
    <domain: "f", opset_import: ["" : 17, "f" : 1]> outer (v) => (r) {{ r = f.inner (v) }}
    <domain: "f", opset_import: ["" : 17]> inner (v) => (r) {{
        f = Constant <value_float: float = {factor}.0> ()
        r = Mul (v, f)
    }}"""


@pytest.mark.parametrize(("factor", "count"), [(2, 2), (5, 4)])
@pytest.mark.parametrize("options", [{}, {"opset": 21}], ids=["kept", "converted"])
def test_functions_that_share_a_name(
    factor: int, count: int, options: dict[str, int], tmp_path: Path
) -> None:
    """Two models of one exporter have the same functions; others of that name get another one."""
    first, second = load(with_functions(2)), load(with_functions(factor))
    joined = ht.replace(second["y"], {second["x"]: first["y"]})
    proto = write([first["x"]], joined, tmp_path / "m.onnx", **options)
    assert len(proto.functions) == count
    (result,) = session(tmp_path / "m.onnx").run(None, {"x": X})
    np.testing.assert_array_equal(result, X * 2 * factor)
    np.testing.assert_array_equal(run(ht.onnx.load_onnx(proto).outputs["y_1"], x=X), result)


def test_functions_of_three_models_that_share_a_name(tmp_path: Path) -> None:
    models = [load(with_functions(factor)) for factor in (2, 3, 5)]
    value = models[0]["y"]
    for model in models[1:]:
        value = ht.replace(model["y"], {model["x"]: value})
    proto = write([models[0]["x"]], value, tmp_path / "m.onnx")
    assert len({function.name for function in proto.functions}) == 6
    (result,) = session(tmp_path / "m.onnx").run(None, {"x": X})
    np.testing.assert_array_equal(result, X * 30)


def test_a_part_of_a_model_is_used_twice_and_stays_tied(tmp_path: Path) -> None:
    model = load()
    twice = ht.replace(model["hidden"], {model["x"]: model["hidden"]})
    proto = write([model["x"]], [twice], tmp_path / "m.onnx")
    assert [t.name for t in proto.graph.initializer] == ["w"]
    assert [n.output[0] for n in proto.graph.node] == ["scaled", "hidden", "scaled_1", "hidden_1"]
    (result,) = session(tmp_path / "m.onnx").run(None, {"x": X})
    np.testing.assert_array_equal(result, np.maximum(X, 0) * np.float32([1, 4, 9]))


def test_an_output_is_dropped(tmp_path: Path) -> None:
    file = parser.parse_model(MODEL.replace("float[3] b", "float[N, 3] hidden, float[3] b"))
    file.graph.doc_string = "a graph"
    file.graph.quantization_annotation.add(tensor_name="hidden")
    file.graph.quantization_annotation.add(tensor_name="extra")
    model = ht.onnx.load_onnx(file)
    proto = write([model["x"]], [model["y"]], tmp_path / "m.onnx")
    assert (proto.graph.name, proto.graph.doc_string) == ("g", "a graph")
    assert [info.name for info in proto.graph.value_info] == ["hidden"]
    assert [a.tensor_name for a in proto.graph.quantization_annotation] == ["hidden"]
    assert [info.name for info in proto.graph.output] == ["y"]
    assert [node.op_type for node in proto.graph.node] == ["Mul", "Relu", "Add"]


# rename -------------------------------------------------------------------------------------------


def test_inputs_outputs_weights_and_inner_values_are_renamed(tmp_path: Path) -> None:
    proto = parser.parse_model(MODEL)
    annotation = proto.graph.quantization_annotation.add(tensor_name="hidden")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w")
    model = ht.onnx.load_onnx(proto)
    names = {"x": "images", "y": "scores", "w": "scale", "hidden": "features"}
    renamed = ht.onnx.rename(model, names)
    assert list(renamed.inputs) == ["images"] and list(renamed.outputs) == ["scores", "extra"]
    assert list(model.inputs) == ["x"] and renamed.metadata == {"by": "someone"}
    inputs, outputs = list(renamed.inputs.values()), list(renamed.outputs.values())
    written = write(inputs, outputs, tmp_path / "m.onnx")
    expected = onnx.ModelProto()
    expected.CopyFrom(proto)
    text = expected.SerializeToString()
    for node in expected.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for info in (*expected.graph.input, *expected.graph.output, *expected.graph.initializer):
        info.name = names.get(info.name, info.name)
    expected.graph.quantization_annotation[0].tensor_name = "features"
    expected.graph.quantization_annotation[0].quant_parameter_tensor_names[0].value = "scale"
    assert_same_model(written, expected)
    assert proto.SerializeToString() == text
    (result,) = session(tmp_path / "m.onnx").run(["scores"], {"images": X})
    np.testing.assert_array_equal(result, np.maximum(X * [1, 2, 3], 0) + 5)


def test_wrong_names_are_refused() -> None:
    model = load()
    for names, message in (
        ({"z": "a"}, "no value called 'z'"),
        ({"x": "hidden"}, "'hidden' would be the name of two values"),
        ({"x": "a", "y": "a"}, "'a' would be the name of two values"),
        ({"x": ""}, "not a name"),
    ):
        with pytest.raises(UsageError, match=message):
            ht.onnx.rename(model, names)
    swapped = ht.onnx.rename(model, {"y": "extra", "extra": "y"})
    assert list(swapped.outputs) == ["extra", "y"]


# change_batch -------------------------------------------------------------------------------------


class VisionTransformer(nn.Module):
    """Its class token is folded into a constant, its heads into shapes with the batch merged."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 5, 16))
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        return self.head(self.layer(x)[:, 0])


class Recurrent(nn.Module):
    """Its initial states are constants of the batch's size, on the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0].mean(1)


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8 * 64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.interpolate(torch.relu(self.convolution(x)), scale_factor=2)
        x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        return self.head(nn.functional.max_pool2d(x, 2).reshape(len(x), -1))


SHAPES = {VisionTransformer: (3, 8, 8), Recurrent: (6, 3), Convolutional: (3, 8, 8)}
EXPORTS = [(kind, old, False) for kind in SHAPES for old in (1, 4)]
EXPORTS += [(VisionTransformer, 1, True), (Recurrent, 4, True)]


@pytest.mark.parametrize(("kind", "old", "dynamo"), EXPORTS)
def test_a_batch_that_the_exporter_fixed_becomes_another(
    kind: type[nn.Module], old: int, dynamo: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module, shape = kind().eval(), SHAPES[kind]
    torch.onnx.export(
        module, (torch.randn(old, *shape),), tmp_path / "m.onnx",
        dynamo=dynamo, opset_version=18, input_names=["x"], external_data=False, verbose=False,
    )  # fmt: skip
    model = ht.onnx.load_onnx(tmp_path / "m.onnx")
    for size in ("batch", 6):
        changed = ht.onnx.change_batch(model, size)
        (y,) = changed.outputs.values()
        proto = write([changed.inputs["x"]], [y], tmp_path / "n.onnx")
        assert y.shape == (size, y.shape[1])
        initial = {t.name for t in proto.graph.initializer} & model.variables.keys()
        assert {v.name for v in model.variables.values() if v.trainable} <= initial
        runtime = session(tmp_path / "n.onnx")
        for count in (1, 6, 11) if size == "batch" else (6,):
            x = torch.randn(count, *shape)
            expected = module(x).detach().numpy()
            (theirs,) = runtime.run(None, {"x": x.numpy()})
            np.testing.assert_allclose(theirs, expected, rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(run(y, x=x.numpy()), expected, rtol=1e-3, atol=1e-5)


def test_a_symbolic_batch_becomes_a_number_everywhere() -> None:
    model = ht.onnx.change_batch(
        load(MODEL.replace("float[3] b", "float[N, 3] hidden, float[3] b")), 2
    )
    assert {v.shape for v in (*model.inputs.values(), *model.outputs.values())} == {(2, 3)}
    with pytest.raises(UsageError, match=r"expected float32\[2, 3\]"):
        run(model["y"], x=X)


def test_a_batch_that_cannot_follow_is_an_error() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[2, 3] x) => (float[2, 3] y) <float[2, 3] w = {1, 2, 3, 4, 5, 6}> { y = Add (x, w) }"""
    with pytest.raises(UnsupportedError, match="Add-17 'y' cannot follow the batch"):
        ht.onnx.change_batch(load(text), "batch")
    with pytest.raises(UsageError, match="has no axis 2"):
        ht.onnx.change_batch(load(text), 4, axes={"x": 2})
    with pytest.raises(UsageError, match="no input 'z'"):
        ht.onnx.change_batch(load(text), 4, axes={"z": 0})


def test_integers_take_examples(tmp_path: Path) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (int64[1, 4] ids, int64[1, 4] other) => (float[4, 2] y)
    <float[5, 2] table = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, int64[2] shape = {4, 2}>
    { sum = Add (ids, other)  rows = Gather (table, sum)  y = Reshape (rows, shape) }"""
    model = ht.onnx.change_batch(load(text), "n", feeds={"ids": [[[0, 1, 2, 3]], [[3, 2, 1, 0]]]})
    write(list(model.inputs.values()), [model["y"]], tmp_path / "m.onnx")
    ids = np.int64([[0, 1, 2, 3], [3, 3, 3, 3]])
    (result,) = session(tmp_path / "m.onnx").run(None, {"ids": ids, "other": ids * 0 + 1})
    table = np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    np.testing.assert_array_equal(result, table[ids + 1].reshape(8, 2))
