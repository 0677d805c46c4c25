"""Large models: each weight is in memory once, from reading the file to writing the next one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

PEAK = """
def peak():
    # not `ru_maxrss`, which is at least what the process that started this one had
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM:"))
"""

MEASURED = f"""
import json, sys
import numpy as np
import hetu as ht
{PEAK}
folder, size = sys.argv[1], int(sys.argv[2])
before = peak()
model = ht.onnx.load_onnx(folder + "/model.onnx")
x, y = model
loaded = peak()
executor = ht.Executor([y])
result = executor.run(feed_dict={{x: np.ones((1, size), np.float32)}})[0].asnumpy()
ran = peak()
ht.onnx.export(executor, [x], [y], folder + "/copy.onnx")
np.save(folder + "/result.npy", result)
print(json.dumps([loaded - before, ran - before, peak() - before]))
"""


def write_chain(folder: Path, layers: int, size: int) -> Path:
    """`layers` products with weights of `size` x `size`, whose data is written by hand."""
    random = np.random.default_rng(0)
    weights = [TensorProto(name=f"w{i}", dims=[size, size], data_type=1) for i in range(layers)]
    with open(folder / "weights.bin", "wb") as file:
        for tensor in weights:
            tensor.data_location = TensorProto.EXTERNAL
            facts = {"location": "weights.bin", "offset": file.tell(), "length": 4 * size * size}
            for key, fact in facts.items():
                tensor.external_data.add(key=key, value=str(fact))
            row = random.normal(size=(1, size))
            row /= abs(row.sum())  # so that the products neither vanish nor overflow
            np.tile(row.astype(np.float32), (size, 1)).tofile(file)
    nodes = [helper.make_node("MatMul", [f"h{i}", f"w{i}"], [f"h{i + 1}"]) for i in range(layers)]
    x, y = (helper.make_tensor_value_info(n, 1, [1, size]) for n in ("h0", f"h{layers}"))
    graph = helper.make_graph(nodes, "chain", [x], [y], weights)
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, ir_version=9, opset_imports=opsets)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def data_of(path: Path) -> list[np.memmap]:
    """The data of a model's initializers, mapped from where the model says that it lies."""
    model = onnx.load(path, load_external_data=False)
    data = []
    for tensor in model.graph.initializer:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        offset, count = int(entries["offset"]), int(entries["length"]) // 4
        data.append(np.memmap(path.parent / entries["location"], np.float32, "r", offset, count))
    return data


@pytest.mark.parametrize(
    ("layers", "size"),
    [(5, 4096), pytest.param(24, 8192, marks=pytest.mark.large)],
    ids=["300MiB", "6GiB"],
)
def test_weights_are_in_memory_once(layers: int, size: int, tmp_path: Path) -> None:
    path = write_chain(tmp_path, layers, size)
    weights = 4 * layers * size * size
    child = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path), str(size)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    peaks = [peak / weights for peak in json.loads(child.stdout)]
    print("load, run, export:", *(f"{peak:.3f}" for peak in peaks))
    assert max(peaks) <= 1.15
    pairs = zip(data_of(path), data_of(tmp_path / "copy.onnx"), strict=True)
    assert all(np.array_equal(ours.view(np.int32), theirs.view(np.int32)) for ours, theirs in pairs)
    onnx.checker.check_model(tmp_path / "copy.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "copy.onnx")
    (expected,) = session.run(None, {"h0": np.ones((1, size), np.float32)})
    scale = np.abs(expected).max()
    np.testing.assert_allclose(np.load(tmp_path / "result.npy"), expected, atol=1e-4 * scale)


LOADED = f"""
import sys
import hetu as ht
{PEAK}
before = peak()
model = ht.onnx.load_onnx(sys.argv[1])
print(peak() - before)
"""


def test_weights_inside_of_the_model_file_are_in_memory_once(tmp_path: Path) -> None:
    layers, size = 9, 2048
    model = onnx.load(write_chain(tmp_path, layers, size))
    path = tmp_path / "inside.onnx"
    onnx.save(model, path)
    del model
    child = subprocess.run(
        [sys.executable, "-c", LOADED, str(path)], capture_output=True, text=True, check=True
    )
    assert int(child.stdout) <= 1.15 * 4 * layers * size * size
