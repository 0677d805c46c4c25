"""Transformers from torch that ONNX Runtime's optimizers fused: loaded, checked, differentiated."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnxruntime.transformers import optimizer

import hetu as ht
from hetu.onnx import LoadedModel, hetu2onnx, load_onnx
from tests.interop.transformer import HEADS, WIDTH, bert, export, gpt
from tests.support.compare import assert_same_model

MODELS = {"bert": bert, "gpt2": gpt}
EXPORTERS = {"script-14": (14, False), "script-17": (17, False), "dynamo-18": (18, True)}

Level = onnxruntime.GraphOptimizationLevel


def by_session(level: Any) -> Callable[[Path, Path, str], None]:
    """The optimizer that works when a session loads a model."""

    def optimize(source: Path, target: Path, kind: str) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.optimized_model_filepath = str(target)
        options.log_severity_level = 4
        onnxruntime.InferenceSession(source, options)

    return optimize


def by_fusion(source: Path, target: Path, kind: str) -> None:
    """The optimizer for transformers."""
    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    optimized = optimizer.optimize_model(
        str(source), model_type=kind, num_heads=HEADS, hidden_size=WIDTH, opt_level=0
    )
    optimized.save_model_to_file(str(target))


OPTIMIZERS = {
    "basic": by_session(Level.ORT_ENABLE_BASIC),
    "extended": by_session(Level.ORT_ENABLE_EXTENDED),
    "transformers": by_fusion,
}

Case = tuple[str, str, Path, dict[str, np.ndarray], torch.nn.Module]


@pytest.fixture(scope="module", params=[(m, e) for m in MODELS for e in EXPORTERS], ids=str)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A model as torch writes it, with its inputs."""
    kind, exporter = request.param
    opset, dynamo = EXPORTERS[exporter]
    module, inputs = MODELS[kind]()
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export(module, inputs, path, opset, dynamo)
    return kind, exporter, path, {name: x.numpy() for name, x in inputs.items()}, module


def infer(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    kinds = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
    typed = {i.name: feeds[i.name].astype(kinds[i.type]) for i in session.get_inputs()}
    return session.run(None, typed)[0]


@pytest.mark.verifies(
    "results", "gradients", "export",
    exporter=lambda parameters: f"ONNX Runtime optimizer, {parameters['level']}",
)  # fmt: skip
@pytest.mark.parametrize("level", OPTIMIZERS)
def test_optimized(exported: Case, level: str, tmp_path: Path) -> None:
    kind, _, source, feeds, module = exported
    path, again = tmp_path / "optimized.onnx", tmp_path / "again.onnx"
    OPTIMIZERS[level](source, path, kind)
    model = load_onnx(path)
    inputs, outputs = list(model.inputs.values()), list(model.outputs.values())
    executor = ht.Executor(outputs)
    (ours,) = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    # sums of a few hundred products of numbers of size 1 in float32
    np.testing.assert_allclose(ours, infer(path, feeds), rtol=1e-4, atol=2e-5)
    hetu2onnx.export(executor, inputs, outputs, again)
    assert_same_model(onnx.load(again), onnx.load(path))
    np.testing.assert_allclose(ours, infer(again, feeds), rtol=1e-4, atol=2e-5)
    check_gradients(model, feeds, module)


def check_gradients(
    model: LoadedModel, feeds: dict[str, np.ndarray], module: torch.nn.Module
) -> None:
    """All weights have finite gradients; that of the words is torch's own."""
    weights = [v for v in model.variables.values() if not v.constant]
    (y,) = model.outputs.values()
    grads = ht.gradients(ht.op.ReduceSum(y * y, keepdims=0), weights)
    results = ht.Executor(grads).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    assert len(weights) > 20
    for weight, grad in zip(weights, results, strict=True):
        assert np.isfinite(grad).all() and grad.any(), weight.name
    module.zero_grad()
    module(*(torch.from_numpy(x) for x in feeds.values())).square().sum().backward()
    expected = module.get_parameter("words.weight").grad
    tables = [g for g in results if g.shape == expected.shape]
    transposed = [g.T for g in results if g.T.shape == expected.shape]
    np.testing.assert_allclose(sum(tables + transposed), expected, rtol=1e-3, atol=1e-3)
