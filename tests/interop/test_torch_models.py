"""Models of torch's exporters: results, gradients, training, export, against torch itself."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import hetu as ht
from hetu.onnx import LoadedModel, hetu2onnx, load_onnx
from tests.interop.zoo.architecture import Inputs
from tests.interop.zoo.cases import Case, Exported, expected, parameters
from tests.support.compare import assert_same_model

STEPS, RATE = 20, 0.01
"""At twice the rate the losses of torch in float32 and float64 are 1% apart after 11 steps."""


def exporter(parameters: dict[str, Any]) -> str:
    """The exporter of a test, as the README calls it."""
    return f"torch.onnx.export(dynamo={parameters['exported'].exporter.startswith('dynamo')})"


@pytest.fixture(scope="module", params=parameters())
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    case: Case = request.param
    return Exported(case, tmp_path_factory.mktemp("zoo") / "model.onnx")


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # torch's value_info holds the sizes of the example
    return onnxruntime.InferenceSession(path, options)


def compare(actual: list[np.ndarray], wanted: list[np.ndarray], rtol: float, atol: float) -> None:
    for ours, theirs in zip(actual, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol, atol)


def arrays(results: list[torch.Tensor]) -> list[np.ndarray]:
    return [result.detach().numpy() for result in results]


@pytest.mark.verifies("results", "sizes", "export", exporter=exporter)
def test_results(exported: Exported, tmp_path: Path) -> None:
    """One executor takes every size; what it exports again is the file."""
    model = load_onnx(exported.path)
    inputs, outputs = list(model.inputs.values()), list(model.outputs.values())
    executor, runtime = ht.Executor(outputs), session(exported.path)
    for given in exported.architecture.sizes:
        feeds = exported.feeds(given)
        ours = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
        compare(ours, runtime.run(None, feeds), rtol=1e-3, atol=1e-5)
        compare(ours, arrays(expected(exported.module, given)), rtol=1e-3, atol=1e-4)
    again = tmp_path / "again.onnx"
    hetu2onnx.export(executor, inputs, outputs, again)
    assert_same_model(onnx.load(again), exported.proto)
    onnx.checker.check_model(str(again), full_check=True)


@pytest.mark.verifies("opset conversion", exporter=exporter)
@pytest.mark.parametrize("opset", [13, pytest.param(28, marks=pytest.mark.slow)])
def test_opsets(exported: Exported, opset: int, tmp_path: Path) -> None:
    """The oldest and the newest opset that exports lead to, in ONNX Runtime."""
    model, feeds = load_onnx(exported.path), exported.feeds(exported.architecture.inputs)
    inputs, outputs = list(model.inputs.values()), list(model.outputs.values())
    path, executor = tmp_path / "converted.onnx", ht.Executor(outputs)
    hetu2onnx.export(executor, inputs, outputs, path, opset=opset)
    onnx.checker.check_model(str(path), full_check=True)
    wanted = session(exported.path).run(None, feeds)
    compare(session(path).run(None, feeds), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.verifies("gradients", exporter=exporter)
def test_gradients(exported: Exported) -> None:
    """Those of all parameters, wherever the exporter put them, are torch's own."""
    account, given = exported.account, exported.architecture.inputs
    for parameter in account.parameters.values():
        parameter.grad = None
    random = torch.Generator().manual_seed(2)
    results = enumerate(expected(exported.module, given))
    reached = {i: y for i, y in results if y.requires_grad}
    seeds = {i: torch.randn(y.shape, generator=random) for i, y in reached.items()}
    torch.autograd.backward(list(reached.values()), list(seeds.values()))
    wanted = {name: p.grad for name, p in account.parameters.items() if p.grad is not None}
    assert {name for name, grad in wanted.items() if grad.any()} <= {
        name for name, kind in account.kinds.items() if kind != "absent"
    }
    ours = account.gradients(initializer_gradients(exported, seeds))
    scale = sum(float(grad.square().sum()) for grad in wanted.values()) ** 0.5
    for name, gradient in ours.items():
        torchs = wanted[name].numpy() if name in wanted else np.zeros_like(gradient)
        # of a gradient that is 0 in theory, as that of a key's bias, rounding is left
        margin = 1e-3 * np.linalg.norm(torchs) + 1e-6 * scale
        assert np.linalg.norm(gradient - torchs) <= margin, (name, account.kinds[name])


def initializer_gradients(
    exported: Exported, seeds: dict[int, torch.Tensor]
) -> dict[str, np.ndarray]:
    """hetu's gradients of the initializers that hold parameters, by name."""
    model = load_onnx(exported.path)
    names, outputs = sorted(exported.account.initializers), list(model.outputs.values())
    feeds = {i: ht.Variable(name=f"seed{i}") for i in seeds}
    gradients = ht.gradients(
        [outputs[i] for i in seeds], [model.variables[name] for name in names],
        insert_grad=list(feeds.values()),
    )  # fmt: skip
    given = exported.feeds(exported.architecture.inputs)
    given |= {feeds[i]: seed.numpy() for i, seed in seeds.items()}
    results = ht.Executor(gradients).run(feed_dict=given, convert_to_numpy_ret_vals=True)
    return dict(zip(names, results, strict=True))


@pytest.mark.verifies("training", exporter=exporter)
def test_training(exported: Exported, tmp_path: Path) -> None:
    """SGD goes the way that it goes in torch, statistics included; the export is the result."""
    account = exported.account
    check_trainable(exported)
    if account.is_folded:
        pytest.skip("the exporter has folded parameters together, which then train as one")
    if account.is_copied:
        pytest.skip("the exporter has copied a tied parameter, and the copies train apart")
    model = load_onnx(exported.path, trainable=sorted(account.initializers))
    given, module = exported.architecture.inputs, exported.case.build().module
    targets = make_targets(exported.case.build().module, given)
    executor, fed = trainer(model, targets)
    feeds = exported.feeds(given) | {fed[i]: target.numpy() for i, target in targets.items()}
    ours = [
        executor.run("train", feed_dict=feeds, convert_to_numpy_ret_vals=True)[0]
        for _ in range(STEPS)
    ]
    theirs = train(module, given, targets)
    assert theirs[-1] < theirs[0]
    np.testing.assert_allclose(np.array(ours).ravel(), theirs, rtol=1e-3)
    check_trained(exported, model, executor, module, tmp_path / "trained.onnx")


def check_trainable(exported: Exported) -> None:
    """What trains by itself are the parameters, and no more where the exporter tells them apart.

    It does not where it computed a tensor from a value that is called like a parameter might be.
    """
    model, account = load_onnx(exported.path), exported.account
    trained = {name for name, value in model.variables.items() if value.trainable}
    used = {
        owner for owners in account.owners.values() for owner in owners
        if exported.arrays[owner].ndim or exported.case.exporter.startswith("dynamo")
    } | {d.initializer for d in account.derived if exported.arrays[d.initializer].ndim}  # fmt: skip
    frozen = {name for name, p in exported.module.named_parameters() if not p.requires_grad}
    assert used <= trained
    if exported.case.exporter.startswith("dynamo"):
        notes = {info.name: str(info.metadata_props) for info in exported.proto.graph.value_info}
        extra = trained - used - frozen
        assert all("folded_from" in notes[name] for name in extra), extra


def make_targets(module: nn.Module, given: Inputs) -> dict[int, torch.Tensor]:
    """What the outputs shall become."""
    random = torch.Generator().manual_seed(3)
    results = enumerate(expected(module.train(), given))
    return {i: torch.randn(y.shape, generator=random) for i, y in results if y.requires_grad}


def trainer(
    model: LoadedModel, targets: dict[int, torch.Tensor], precision: str = "fp32"
) -> tuple[ht.Executor, dict[int, ht.Value]]:
    """An executor that trains the model, and the feeds for the targets."""
    outputs = list(model.outputs.values())
    fed = {i: ht.Variable(name=f"target{i}") for i in targets}
    apart = [outputs[i] - fed[i] for i in targets]
    loss = sum((ht.op.ReduceMean(d * d, keepdims=0) for d in apart[1:]),
               ht.op.ReduceMean(apart[0] * apart[0], keepdims=0))  # fmt: skip
    train_op = ht.optim.SGDOptimizer(RATE).minimize(loss)
    lists = {"train": [loss, train_op], "eval": outputs}
    return ht.Executor(lists, precision=precision), fed


def train(module: nn.Module, given: Inputs, targets: dict[int, torch.Tensor]) -> list[float]:
    """The losses of the same steps in torch."""
    module.train()
    optimizer, losses = torch.optim.SGD(module.parameters(), RATE), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        results = expected(module, given)
        loss = sum((results[i] - target).square().mean() for i, target in targets.items())
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def check_trained(
    exported: Exported, model: LoadedModel, executor: ht.Executor, module: nn.Module, path: Path
) -> None:
    """The trained model has torch's running statistics, and is a valid one with its results."""
    for name, buffer in module.named_buffers():
        is_statistic = name.rpartition(".")[2] in ("running_mean", "running_var")
        if is_statistic and name in model.variables:  # those of frozen norms are folded
            statistic = executor.store[model.variables[name]].numpy()
            np.testing.assert_allclose(statistic, buffer, rtol=1e-3, atol=1e-5)
    outputs = list(model.outputs.values())
    hetu2onnx.export(executor, list(model.inputs.values()), outputs, path)
    onnx.checker.check_model(str(path), full_check=True)
    module.eval()
    for given in exported.architecture.sizes:
        feeds = exported.feeds(given)
        ours = executor.run("eval", feed_dict=feeds, convert_to_numpy_ret_vals=True)
        theirs = session(path).run(None, feeds)
        compare(ours, theirs, rtol=1e-3, atol=1e-5)
        compare(theirs, arrays(expected(module, given)), rtol=5e-3, atol=1e-3)
