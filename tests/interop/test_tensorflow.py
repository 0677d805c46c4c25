"""A CNN from TensorFlow through tf2onnx: loaded, checked, trained on digits, exported again."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import hetu as ht
from hetu import onnx as hx
from tests.interop.digits import Digits, digits

SCRIPT = Path(__file__).parent / "tensorflow_cnn.py"


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what TensorFlow and tf2onnx wrote, in a process of their own."""
    folder = tmp_path_factory.mktemp("tensorflow")
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def infer(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def test_agrees_with_onnx_runtime_and_tensorflow(converted: Path) -> None:
    run = np.load(converted / "run.npz")
    x, y = hx.onnx2hetu.load_onnx(converted / "model.onnx")
    executor = ht.Executor([y], ctx=ht.cpu(0))
    (result,) = executor.run(feed_dict={x: run["x"]}, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(
        result, infer(converted / "model.onnx", run["x"]), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(result, run["y"], rtol=1e-4, atol=1e-5)


def test_trains_on_real_digits_and_exports(converted: Path, tmp_path: Path) -> None:
    data = digits()
    x, logits = hx.onnx2hetu.load_onnx(converted / "model.onnx")
    labels = ht.placeholder_op("labels")
    loss = ht.reduce_mean_op(ht.softmaxcrossentropy_op(logits, labels), [0])
    train_op = ht.optim.MomentumOptimizer(0.02).minimize(loss)
    executor = ht.Executor({"train": [loss, train_op], "validate": [logits]}, ctx=ht.cpu(0))
    before = accuracy(executor, x, data)
    starts = [*range(0, 1500, 50), *range(0, 1500, 50)]
    losses = [step(executor, x, labels, data, start) for start in starts]
    after = accuracy(executor, x, data)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert after > max(0.85, before)

    path = tmp_path / "trained.onnx"
    hx.hetu2onnx.export(executor, [x], [logits], path)
    (ours,) = executor.run("validate", feed_dict={x: data.test_x}, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(infer(path, data.test_x), ours, rtol=1e-4, atol=1e-5)
    loaded_x, loaded_y = hx.onnx2hetu.load_onnx(path)
    again = ht.Executor([loaded_y]).run(feed_dict={loaded_x: data.test_x})[0].asnumpy()
    np.testing.assert_array_equal(again, ours)


def step(executor: ht.Executor, x: ht.Value, labels: ht.Value, data: Digits, start: int) -> float:
    batch = slice(start, start + 50)
    feeds = {x: data.train_x[batch], labels: data.train_y[batch]}
    loss, _ = executor.run("train", feed_dict=feeds)
    return float(loss.asnumpy().item())


def accuracy(executor: ht.Executor, x: ht.Value, data: Digits) -> float:
    (logits,) = executor.run("validate", feed_dict={x: data.test_x}, convert_to_numpy_ret_vals=True)
    return float((logits.argmax(1) == data.test_y.argmax(1)).mean())
