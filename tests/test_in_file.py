"""A model file, whose large tensors are read apart, is what protobuf makes of its bytes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import hetu as ht
from hetu.errors import HetuError, ModelError
from hetu.onnx import in_file

WEIGHTS = {
    "large": np.arange(40_000, dtype=np.float32).reshape(200, 200),
    "half": np.linspace(0, 1, 50_000).astype(np.float16),
    "long": np.arange(-20_000, 20_000),
    "small": np.float32([1, 2]),
    "empty": np.zeros((0, 5), np.float32),
}


@pytest.fixture(autouse=True)
def small_files_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_file, "LARGE_FILE", 0)


def model(*extra: TensorProto, **weights: np.ndarray) -> onnx.ModelProto:
    """A model whose outputs are its weights."""
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    tensors += extra
    outputs = [
        helper.make_tensor_value_info(f"{t.name} again", t.data_type, list(t.dims)) for t in tensors
    ]
    nodes = [helper.make_node("Identity", [t.name], [f"{t.name} again"]) for t in tensors]
    graph = helper.make_graph(nodes, "weights", [], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def loaded(source: Any) -> dict[str, np.ndarray] | tuple[type, str]:
    """The weights, or what is wrong with the file."""
    try:
        variables = ht.onnx.load_onnx(source).variables
    except HetuError as error:
        return type(error), str(error).partition(" is no ONNX model")[2]
    return {name: value.data.array for name, value in variables.items()}


def assert_same(path: Path) -> None:
    actual, expected = loaded(path), loaded(path.read_bytes())
    if isinstance(expected, tuple) or isinstance(actual, tuple):
        assert actual == expected
        return
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype
        np.testing.assert_array_equal(actual[name], array)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def test_weights(tmp_path: Path) -> None:
    path = written(tmp_path, model(**WEIGHTS).SerializeToString())
    weights = loaded(path)
    assert isinstance(weights, dict)
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(weights[name], array)
    assert_same(path)


def test_types_of_less_than_a_byte_and_typed_data(tmp_path: Path) -> None:
    packed = TensorProto(
        name="int4", data_type=TensorProto.INT4, dims=[200_001], raw_data=b"\x97" * 100_001
    )
    typed = helper.make_tensor("typed", TensorProto.FLOAT, [30_000], np.ones(30_000, np.float32))
    assert_same(written(tmp_path, model(packed, typed).SerializeToString()))


def test_weights_are_exported_as_they_came(tmp_path: Path) -> None:
    path = written(tmp_path, model(**WEIGHTS).SerializeToString())
    for source in (path, path.read_bytes()):
        again = ht.onnx.to_proto(ht.onnx.load_onnx(source))
        assert not any(tensor.external_data for tensor in again.graph.initializer)
        assert all(tensor.HasField("raw_data") for tensor in again.graph.initializer)


def test_the_file_is_not_needed_afterwards(tmp_path: Path) -> None:
    path = written(tmp_path, model(**WEIGHTS).SerializeToString())
    weights = loaded(path)
    path.write_bytes(bytes(path.stat().st_size))
    np.testing.assert_array_equal(weights["large"], WEIGHTS["large"])


@pytest.mark.parametrize("rows", [199, 201])
def test_data_of_another_size(tmp_path: Path, rows: int) -> None:
    proto = model(**WEIGHTS)
    proto.graph.initializer[0].dims[0] = rows
    with pytest.raises(ModelError, match=rf"'large'.*160000 bytes given, \[{rows}, 200\]"):
        ht.onnx.load_onnx(written(tmp_path, proto.SerializeToString()))


def test_no_location_is_no_excuse(tmp_path: Path) -> None:
    """What hetu marks as left in the file is an error where the file says so itself."""
    proto = model(**WEIGHTS)
    tensor = proto.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    with pytest.raises(ht.errors.ExternalDataError, match="location"):
        ht.onnx.load_onnx(written(tmp_path, proto.SerializeToString()))


UNUSUAL = {
    "merged graphs": lambda p: p.SerializeToString() + model(w=np.ones(50_000)).SerializeToString(),
    "twice the same name": lambda p: model(
        *p.graph.initializer, numpy_helper.from_array(np.zeros(50_000), "large")
    ).SerializeToString(),
    "strings": lambda p: model(
        TensorProto(name="s", data_type=TensorProto.STRING, dims=[1], raw_data=bytes(100_000))
    ).SerializeToString(),
    "unknown fields": lambda p: p.SerializeToString() + b"\xf8\x07\x01\xfd\x07abcd\xf9\x07abcdefgh",
    "a group": lambda p: p.SerializeToString() + b"\xfb\x07\xfc\x07",
    "cut off": lambda p: p.SerializeToString()[:-5],
    "cut off inside": lambda p: p.SerializeToString()[:100_000],
    "no model": lambda p: bytes(200_000),
    "endless number": lambda p: p.SerializeToString() + b"\xff" * 20,
}  # fmt: skip


@pytest.mark.parametrize("write", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_files(tmp_path: Path, write: Any) -> None:
    assert_same(written(tmp_path, write(model(**WEIGHTS))))


@settings(
    max_examples=150, derandomize=True, database=None, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(st.data())
def test_any_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    monkeypatch.setattr(in_file, "LARGE", 16)
    proto = model(a=np.arange(8.0), b=np.arange(9), c=np.ones(3, np.float32))
    content = bytearray(proto.SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(content) - 1))
        content[position] = data.draw(st.integers(0, 255))
    assert_same(written(tmp_path, bytes(content)))
