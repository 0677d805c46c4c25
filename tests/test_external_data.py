"""External data: read once, never from outside of the model's folder."""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from hetu.errors import ExternalDataError
from hetu.onnx import load_onnx

WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)


def write_model(folder: Path, **entries: object) -> Path:
    """A model with one external initializer; `entries` replace what its file would say."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
    g (float[2,3] x) => (float[2,3] y) { y = Add(x, w) }"""
    model = onnx.parser.parse_model(text)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "w.bin"} | entries).items():
        tensor.external_data.add(key=key, value=str(value))
    model.graph.initializer.append(tensor)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_read(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 8 + WEIGHTS.tobytes() + b"\0" * 3)
    path = write_model(tmp_path, offset=8, length=WEIGHTS.nbytes)
    data = load_onnx(path).variables["w"].data
    np.testing.assert_array_equal(data.array, WEIGHTS)


def test_read_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(WEIGHTS.tobytes())
    data = load_onnx(write_model(tmp_path, location="data/w.bin")).variables["w"].data
    np.testing.assert_array_equal(data.array, WEIGHTS)


def test_later_truncation_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    model = load_onnx(write_model(tmp_path))
    os.truncate(tmp_path / "w.bin", 0)
    np.testing.assert_array_equal(model.variables["w"].data.array, WEIGHTS)


@pytest.mark.parametrize("location", ["../w.bin", "a/../../w.bin", "", ".", "w\0.bin"])
def test_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(ExternalDataError, match="'w'"):
        load_onnx(write_model(folder, location=location))


def test_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ExternalDataError, match="inside the model's folder"):
        load_onnx(write_model(tmp_path, location=tmp_path / "w.bin"))


def test_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real.bin").write_bytes(WEIGHTS.tobytes())
    (tmp_path / "w.bin").symlink_to("real.bin")
    with pytest.raises(ExternalDataError, match="symbolic link"):
        load_onnx(write_model(tmp_path))


def test_symbolic_link_to_a_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "model"
    outside.mkdir()
    folder.mkdir()
    (outside / "w.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "data").symlink_to(outside)
    with pytest.raises(ExternalDataError, match="symbolic link"):
        load_onnx(write_model(folder, location="data/w.bin"))


def test_hard_link(tmp_path: Path) -> None:
    (tmp_path / "real.bin").write_bytes(WEIGHTS.tobytes())
    (tmp_path / "w.bin").hardlink_to(tmp_path / "real.bin")
    with pytest.raises(ExternalDataError, match="hard links"):
        load_onnx(write_model(tmp_path))


def test_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(ExternalDataError, match="regular file"):
        load_onnx(write_model(tmp_path))


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").mkdir()
    with pytest.raises(ExternalDataError):
        load_onnx(write_model(tmp_path))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ExternalDataError, match=r"'w\.bin'.*No such file"):
        load_onnx(write_model(tmp_path))


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": 4},
        {"offset": 1 << 62},
        {"length": 23},
        {"length": 25},
        {"offset": -1},
        {"offset": "x"},
    ],
    ids=str,
)
def test_numbers_that_do_not_fit(entries: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ExternalDataError, match="'w'"):
        load_onnx(write_model(tmp_path, **entries))


def test_bytes_have_no_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ExternalDataError, match="pass the file's path"):
        load_onnx(write_model(tmp_path).read_bytes())
