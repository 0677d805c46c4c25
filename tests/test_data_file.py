"""The data file beside an exported model: what goes into it, its name, and when an old one goes."""

import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper, parser

import hetu as ht
from hetu.errors import UsageError
from hetu.onnx import data_file
from hetu.onnx.external import tensors_of
from tests.support.compare import assert_same_model

MODEL = """<ir_version: 10, opset_import: ["" : 20, "local" : 1]>
g (bool flag, float[N,64] x) => (float[N,64] y) <int64[2] shape = {-1, 64}> {
  weight = Identity (w)
  h = MatMul (x, weight)
  q = If (flag) <
    then_branch = yes () => (float[N,64] a) { a = Add (h, v) },
    else_branch = no () => (float[N,64] b) {
      c = Constant <value = float[1] {0}> ()
      b = Add (h, c)
    }
  >
  r = Reshape (q, shape)
  y = local.f (flag, r)
}
<domain: "local", opset_import: ["" : 20]> f (flag, x) => (y) {
  k = Constant <value = float[1] {0}> ()
  z = Add (x, k)
  y = If (flag) <
    then_branch = yes () => (a) { a = Add (z, inner) }, else_branch = no () => (b) { b = Neg (z) }
  >
}
"""


def tensor(name: str, *shape: int) -> onnx.TensorProto:
    array = np.random.default_rng(len(name)).normal(size=shape).astype(np.float32)
    return numpy_helper.from_array(array, name)


def full_model() -> onnx.ModelProto:
    """A model with large data in every place that can have some."""
    model = parser.parse_model(MODEL)
    model.graph.initializer.append(tensor("w", 64, 64))
    yes, no = (attribute.g for attribute in model.graph.node[2].attribute)
    yes.initializer.append(tensor("v", 512, 64))
    yes.initializer[0].CopyFrom(tensor("v", 1, 64))
    no.node[0].attribute[0].t.CopyFrom(tensor("", 64))
    function = model.functions[0]
    function.node[0].attribute[0].t.CopyFrom(tensor("", 64))
    function.node[2].attribute[0].g.initializer.append(tensor("inner", 64))
    for inner in tensors_of(model):
        if inner.name == "":
            inner.raw_data, inner.dims[:] = inner.raw_data * 8, [8, 64]
    return model


def export(source: onnx.ModelProto | Path, path: Path, **options: object) -> onnx.ModelProto:
    model = ht.onnx.load_onnx(source)
    outputs = list(model.outputs.values())
    inputs = list(model.inputs.values())
    return ht.onnx.export(ht.Executor(outputs), inputs, outputs, path, **options)


def small_model() -> onnx.ModelProto:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[2] x) => (float[2] y) { y = Mul (x, w) }"""
    model = parser.parse_model(text)
    model.graph.initializer.append(tensor("w", 2))
    return model


def loaded(path: Path) -> onnx.ModelProto:
    """The model with its external data, as onnx reads it."""
    model = onnx.load(path)
    for inner in tensors_of(model):
        inner.ClearField("data_location")
    return model


def data_files(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if not name.endswith(".onnx"))


@pytest.mark.parametrize("external_data", [None, True, False, "weights.bin"])
def test_all_that_is_large_goes_out(external_data: object, tmp_path: Path) -> None:
    expected, path = full_model(), tmp_path / "m.onnx"
    onnx.checker.check_model(expected, full_check=True)
    model = export(expected, path, external_data=external_data)
    assert_same_model(loaded(path), expected)
    assert onnx.load(path, load_external_data=False) == model
    onnx.checker.check_model(path, full_check=True)
    outside = [t for t in tensors_of(model) if t.external_data]
    is_outside = bool(external_data)
    assert len(data_files(tmp_path)) == is_outside
    assert (
        len(outside) == 4 * is_outside
    )  # w, v and both constants; not what is in the function's If
    entries = [{e.key: e.value for e in t.external_data} for t in outside]
    assert all(int(e["offset"]) % 64 == 0 for e in entries)
    assert all(int(e["offset"]) % 4096 == 0 for e in entries if int(e["length"]) >= 4096)
    x = np.random.default_rng(0).normal(size=(8, 64)).astype(np.float32)
    for flag in (True, False):
        feeds = {"flag": np.array(flag), "x": x}
        ours, theirs = (
            onnxruntime.InferenceSession(source).run(None, feeds)[0]
            for source in (path, expected.SerializeToString())
        )
        np.testing.assert_array_equal(ours, theirs)


def test_what_came_external_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(small_model(), path, external_data=True)
    again = export(path, tmp_path / "n.onnx")
    assert [t.data_location for t in again.graph.initializer] == [onnx.TensorProto.EXTERNAL]
    inside = export(path, tmp_path / "o.onnx", external_data=False)
    assert_same_model(inside, small_model())


def test_many_weights_go_out_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_file, "MAX_INSIDE_BYTES", 20_000)
    export(full_model(), tmp_path / "m.onnx")
    assert len(data_files(tmp_path)) == 1
    assert_same_model(loaded(tmp_path / "m.onnx"), full_model())


def test_a_model_is_exported_over_itself(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(full_model(), path, external_data=True)
    (first,) = data_files(tmp_path)
    export(path, path)
    (second,) = data_files(tmp_path)
    assert first != second
    assert_same_model(loaded(path), full_model())
    export(path, path, external_data=False)
    assert data_files(tmp_path) == []
    assert_same_model(loaded(path), full_model())


def test_a_given_name_is_taken_if_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(small_model(), path, external_data="w.bin")
    assert data_files(tmp_path) == ["w.bin"]
    export(small_model(), path, external_data="w.bin")  # the old model needs w.bin until the end
    (name,) = data_files(tmp_path)
    assert name.startswith("w.") and name.endswith(".bin") and name != "w.bin"
    export(small_model(), path, external_data="w.bin")
    assert data_files(tmp_path) == ["w.bin"]
    assert_same_model(loaded(path), small_model())


def test_files_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    (tmp_path / "w.bin").write_bytes(b"not the model's")
    export(small_model(), path, external_data="w.bin")
    export(small_model(), path, external_data="w.bin")
    assert (tmp_path / "w.bin").read_bytes() == b"not the model's"
    shutil.copy(path, tmp_path / "copy.onnx")
    export(small_model(), path, external_data="w.bin")
    assert_same_model(loaded(tmp_path / "copy.onnx"), small_model())
    export(small_model(), path)
    assert_same_model(loaded(tmp_path / "copy.onnx"), small_model())


def test_data_with_a_name_of_its_own_stays(tmp_path: Path) -> None:
    export(small_model(), tmp_path / "m.onnx", external_data="model.safetensors")
    export(tmp_path / "m.onnx", tmp_path / "m.onnx")
    assert "model.safetensors" in data_files(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "a\0", "#1", "m.onnx", 3])
def test_bad_names(name: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="external_data"):
        export(small_model(), tmp_path / "m.onnx", external_data=name)
    assert list(tmp_path.iterdir()) == []


def test_an_opset_is_converted_with_data_outside(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export(small_model(), path, external_data=True, opset=21)
    onnx.checker.check_model(path, full_check=True)
    (w,) = onnx.load(path).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(w), numpy_helper.to_array(tensor("w", 2)))


@pytest.mark.parametrize("element", [21, 22, 23, 25, 26, 27, 28, 16, 17, 9, 14], ids=str)
@pytest.mark.parametrize("shape", [(), (3, 1001), (0, 4)], ids=str)
def test_every_layout(element: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    """Types of less than a byte are packed as onnx packs them."""
    codes = np.random.default_rng(0).integers(0, 2, size=shape)
    array = codes.astype(onnx.helper.tensor_dtype_to_np_dtype(element))
    value = ht.ir.Tensor(array)
    proto = onnx.TensorProto()
    held = data_file.HeldData(True)
    model = onnx.ModelProto()
    proto = held.tensor(value, lambda: value, "t", is_weight=True)
    model.graph.initializer.append(proto)
    data = held.settle(model, "data")
    with open(tmp_path / "data", "xb", buffering=0) as file:
        data.write(file)
    read = numpy_helper.to_array(model.graph.initializer[0], str(tmp_path))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)
