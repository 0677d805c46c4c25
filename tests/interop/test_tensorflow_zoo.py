"""Keras models and TensorFlow functions through tf2onnx: results, gradients, training, export."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import hetu as ht
from hetu.onnx import export, load_onnx
from tests.support.compare import assert_same_model

SCRIPT = Path(__file__).parent / "tensorflow_zoo.py"

NAMES = (
    "perceptron separable unet temporal volumes lstm gru masked attention branches"
    " loop steps nested mapped resized cropped suppressed rows products"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What TensorFlow and tf2onnx wrote, in a process of their own."""
    folder = tmp_path_factory.mktemp("tensorflow")
    done = subprocess.run(
        [sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options)


def compare(actual: list[np.ndarray], wanted: list[np.ndarray], rtol: float, atol: float) -> None:
    for ours, theirs in zip(actual, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol, atol)


def arrays(run: dict[str, np.ndarray], kind: str) -> list[np.ndarray]:
    """What the script wrote of inputs or results of one size, in order."""
    return [run[f"{kind}_{i}"] for i in range(sum(key.startswith(kind) for key in run))]


@pytest.mark.verifies("results", "sizes", "training", "export", exporter="tf2onnx, Keras")
@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("name", NAMES.split())
def test_converted(name: str, folder: Path, tmp_path: Path) -> None:
    path, again = folder / f"{name}.onnx", tmp_path / "again.onnx"
    run = dict(np.load(folder / f"{name}.npz"))
    model, runtime = load_onnx(path), session(path)
    inputs, outputs = list(model.inputs.values()), list(model.outputs.values())
    given = [dict(zip(model.inputs, arrays(run, f"x{k}"), strict=True)) for k in range(2)]
    loss = distance(outputs, arrays(run, "y0"))
    train_op = ht.optim.SGDOptimizer(0.01).minimize(loss)
    executor = ht.Executor({"train": [loss, train_op], "eval": outputs})
    for k, feeds in enumerate(given):
        ours = executor.run("eval", feed_dict=feeds, convert_to_numpy_ret_vals=True)
        compare(ours, runtime.run(None, feeds), rtol=1e-3, atol=1e-5)
        compare(ours, arrays(run, f"y{k}"), rtol=1e-3, atol=1e-4)
    export(executor, inputs, outputs, again)
    assert_same_model(onnx.load(again), onnx.load(path))
    losses = [executor.run("train", feed_dict=given[0])[0].asnumpy() for _ in range(8)]
    assert losses[-1] < losses[0]
    export(executor, inputs, outputs, again)
    onnx.checker.check_model(str(again), full_check=True)
    ours = executor.run("eval", feed_dict=given[0], convert_to_numpy_ret_vals=True)
    compare(ours, session(again).run(None, given[0]), rtol=1e-3, atol=1e-5)


@pytest.mark.verifies("gradients", exporter="tf2onnx, Keras")
@pytest.mark.xdist_group("tensorflow")
@pytest.mark.parametrize("name", NAMES.split())
def test_gradients_reach_all_weights(name: str, folder: Path) -> None:
    run = dict(np.load(folder / f"{name}.npz"))
    model = load_onnx(folder / f"{name}.onnx")
    weights = [value for value in model.variables.values() if value.trainable]
    assert weights
    loss = distance(list(model.outputs.values()), arrays(run, "y0"))
    feeds = dict(zip(model.inputs, arrays(run, "x0"), strict=True))
    gradients = ht.Executor(ht.gradients(loss, weights)).run(
        feed_dict=feeds, convert_to_numpy_ret_vals=True
    )
    for weight, gradient in zip(weights, gradients, strict=True):
        assert np.isfinite(gradient).all() and gradient.any(), weight.name


def distance(outputs: list[ht.Value], results: list[np.ndarray]) -> ht.Value:
    """How far the float outputs are from some numbers of their size."""
    random = np.random.default_rng(1)
    apart = [
        y - random.normal(size=result.shape).astype(result.dtype)
        for y, result in zip(outputs, results, strict=True)
        if result.dtype.kind == "f"
    ]
    return ht.op.Sum(*(ht.op.ReduceMean(d * d, keepdims=0) for d in apart))
