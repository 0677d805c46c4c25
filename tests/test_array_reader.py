"""Arrays are read from files in several threads: whole, from many files, or not at all."""

import os
import resource
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hetu.errors import ExternalDataError, ModelError
from hetu.onnx import load_onnx, to_proto
from hetu.onnx.array_reader import ArrayReader
from hetu.progress import Progress
from hetu.types import dtype

SIZES = 1, 70_000, 1 << 20, 5_000_003
"""Elements: read at once, in one piece, in a whole number of pieces, and with a rest."""


@pytest.fixture
def reader() -> Iterator[ArrayReader]:
    with ArrayReader(Progress("reading")) as arrays:
        yield arrays


def written(path: Path, data: bytes, before: int = 8) -> FileIO:
    path.write_bytes(bytes(before) + data)
    return FileIO(path)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("element", [np.float32, np.int64, np.bool_, ml_dtypes.bfloat16])
def test_whole_bytes(element: type, size: int, reader: ArrayReader, tmp_path: Path) -> None:
    expected = np.random.default_rng(size).integers(0, 2, size).astype(element)
    with written(tmp_path / "data", expected.tobytes()) as file:
        array = reader.read(file, 8, dtype(np.dtype(element)), (size, 1), "it")
        reader.settle()
    np.testing.assert_array_equal(array, expected.reshape(size, 1))
    assert array.flags.writeable


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("element", ["int4", "uint2"])
def test_parts_of_bytes(element: str, size: int, reader: ArrayReader, tmp_path: Path) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    code = dtype(element).code
    data = data[: -(-size * dtype(element).bits // 8)]
    expected = numpy_helper.to_array(TensorProto(data_type=code, dims=[size], raw_data=data))
    with written(tmp_path / "data", data) as file:
        array = reader.read(file, 8, dtype(element), (size,), "it")
        reader.settle()
    np.testing.assert_array_equal(array, expected)


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    wanted = 9 << 20
    with written(tmp_path / "data", bytes(4 * wanted), 0) as file:
        arrays = ArrayReader(Progress("reading"))
        arrays.read(file, 0, dtype("float32"), (wanted,), "the weight 'w'")
        os.truncate(tmp_path / "data", 2 * wanted)
        with pytest.raises(ExternalDataError, match="the weight 'w': the file shrank"):
            arrays.settle()


def test_a_file_for_each_tensor(tmp_path: Path) -> None:
    """However few files may be open at a time."""
    arrays = {f"w{i}": np.full(30_000, i, np.float32) for i in range(200)}
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    nodes = [helper.make_node("Identity", [name], [f"{name} again"]) for name in arrays]
    outputs = [helper.make_tensor_value_info(f"{name} again", 1, [30_000]) for name in arrays]
    model = helper.make_model(helper.make_graph(nodes, "g", [], outputs, tensors))
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=False)
    assert len(os.listdir(tmp_path)) == 201
    before = os.listdir("/proc/self/fd")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, before)) + 100, hard))
    try:
        variables = load_onnx(path).variables
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for name, array in arrays.items():
        np.testing.assert_array_equal(variables[name].data.array, array)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def external(path: Path, array: np.ndarray, name: str) -> TensorProto:
    """A tensor whose data is in a file of its own beside a model."""
    path.write_bytes(array.tobytes())
    tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.external_data.add(key="location", value=path.name)
    return tensor


@pytest.mark.parametrize("last", [199_999, 200_000])
def test_what_is_checked_is_read_before(last: int, tmp_path: Path) -> None:
    """Indices of a sparse tensor lead into its shape, however many there are."""
    indices = np.arange(0, 100_000)
    indices[-1] = last
    values = external(tmp_path / "values", np.ones(100_000, np.float32), "w")
    places = external(tmp_path / "indices", indices, "at")
    sparse = onnx.SparseTensorProto(values=values, indices=places, dims=[200_000])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [200_000])
    graph = helper.make_graph([helper.make_node("Neg", ["w"], ["y"])], "g", [], [output])
    graph.sparse_initializer.append(sparse)
    path = tmp_path / "model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    if last < 200_000:
        assert load_onnx(path).variables["w"].data.indices.array[-1] == last
    else:
        with pytest.raises(ModelError, match="lead out of its shape"):
            load_onnx(path)


def test_training_graphs_are_handed_on_with_their_data(tmp_path: Path) -> None:
    array = np.arange(100_000, dtype=np.float32)
    identity = helper.make_node("Identity", ["x"], ["y"])
    info = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    model = helper.make_model(helper.make_graph([identity], "g", [info], [result]))
    algorithm = model.training_info.add().algorithm
    algorithm.name = "step"
    algorithm.initializer.append(external(tmp_path / "state", array, "state"))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    (again,) = to_proto(load_onnx(path)).training_info
    np.testing.assert_array_equal(numpy_helper.to_array(again.algorithm.initializer[0]), array)
