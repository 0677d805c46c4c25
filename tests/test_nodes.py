"""The ONNX backend suite: results, round trip and gradients, for every operator there is."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from hetu.convert import to_torch
from hetu.errors import UnsupportedError
from hetu.onnx import LoadedModel, load_onnx
from hetu.onnx.hetu2onnx import export
from hetu.runtime.executor import Executor
from tests.support.backend import Case, all_cases, assert_equal
from tests.support.compare import assert_same_model
from tests.support.exceptions import expect_failure
from tests.support.gradients import Differentiable, check_gradient

cases = pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)


def load(case: Case) -> LoadedModel:
    """The case's model; the test is skipped where it uses operators that hetu does not have yet."""
    try:
        return load_onnx(case.model, trainable=False)
    except UnsupportedError as error:
        pytest.skip(str(error))


@cases
def test_forward(case: Case, request: pytest.FixtureRequest) -> None:
    expect_failure(request, "forward", case.name)
    model = load(case)
    executor = Executor(list(model.outputs.values()), inference=None, seed=0)
    for inputs, expected in case.data_sets():
        feeds = dict(zip(model.inputs, inputs, strict=False))
        actual = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
        for name, a, e in zip(model.outputs, actual, expected, strict=True):
            assert_equal(a, e, name)


@cases
def test_round_trip(case: Case, request: pytest.FixtureRequest, tmp_path: Any) -> None:
    expect_failure(request, "round_trip", case.name)
    model = load(case)
    outputs = list(model.outputs.values())
    executor = Executor(outputs, inference=None)
    exported = export(executor, list(model.inputs.values()), outputs, tmp_path / "model.onnx")
    assert_same_model(exported, case.model)
    assert_same_model(onnx.load(tmp_path / "model.onnx"), case.model)


@cases
def test_gradient(case: Case, request: pytest.FixtureRequest) -> None:
    expect_failure(request, "gradient", case.name)
    model = load(case)
    inputs, _ = next(iter(case.data_sets()))
    graph = Executor(list(model.outputs.values())).subexecutor["default"].graph
    by_name = dict(zip(model.inputs, inputs, strict=False))
    feeds = [_feed(by_name[value.name]) for value in graph.inputs]
    check_gradient(Differentiable(graph, feeds))


def _feed(content: Any) -> Any:
    if isinstance(content, list | tuple):
        return tuple(map(_feed, content))
    if content is None or isinstance(content, dict | torch.Tensor):
        return content
    return to_torch(np.asarray(content))


def test_count(capsys: pytest.CaptureFixture[str]) -> None:
    """Print how many cases load; what does not load is counted, not hidden."""
    counts: Counter[str] = Counter()
    for case in all_cases():
        try:
            load_onnx(case.model)
            counts["loaded"] += 1
        except UnsupportedError:
            counts["unsupported"] += 1
    with capsys.disabled():
        print(f"\nbackend suite: {counts['loaded']} of {counts.total()} cases load")
