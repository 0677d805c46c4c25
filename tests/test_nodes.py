"""The ONNX backend suite: results, round trip and gradients, for every operator there is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hetu.convert import to_torch
from hetu.onnx import LoadedModel, load_onnx
from hetu.onnx.hetu2onnx import export
from hetu.runtime.executor import Executor
from tests.support.backend import Case, all_cases, assert_equal
from tests.support.compare import assert_same_model
from tests.support.exceptions import expect_failure
from tests.support.gradients import Differentiable, check_gradient

cases = pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
small_cases = pytest.mark.parametrize(
    "case", [case for case in all_cases() if case.kind != "real"], ids=lambda case: case.name
)


def find_case(name: str) -> Case:
    return next(case for case in all_cases() if case.name == name)


EQUAL_WEIGHTS = "test_squeezenet"
"""Its weights are all alike: of its logits, about 9.5e9, one unit in the last place, 1,024, decides
what the softmax is."""


@pytest.mark.parametrize(
    "case", [case for case in all_cases() if case.name != EQUAL_WEIGHTS], ids=lambda case: case.name
)
def test_forward(case: Case, request: pytest.FixtureRequest) -> None:
    expect_failure(request, "forward", case.name)
    model = load_onnx(case.model, trainable=False)
    executor = Executor(list(model.outputs.values()), inference=None, seed=0)
    for inputs, expected in case.data_sets():
        feeds = dict(zip(model.inputs, inputs, strict=False))
        actual = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
        for name, a, e in zip(model.outputs, actual, expected, strict=True):
            assert_equal(a, e, name)


def test_forward_with_equal_weights() -> None:
    """Logits agree with ONNX Runtime's; the case itself has what comes after them."""
    case = find_case(EQUAL_WEIGHTS)
    proto = case.model
    softmax = proto.graph.node.pop()
    proto.graph.output[0].CopyFrom(onnx.ValueInfoProto(name=softmax.input[0]))
    model = load_onnx(proto, trainable=False)
    inputs, _ = next(iter(case.data_sets()))
    feeds = dict(zip(model.inputs, inputs, strict=False))
    theirs = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)
    for inference in (None, True):
        executor = Executor(list(model.outputs.values()), inference=inference)
        assert_equal(executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True), theirs)


@pytest.mark.parametrize(
    "name",
    [
        "test_maxunpool_export_with_output_shape",
        "test_resize_downsample_scales_linear_align_corners",
        "test_resize_downsample_scales_cubic_align_corners",
    ],
)
def test_contradictions(name: str) -> None:
    """Where a case contradicts the specification, ONNX Runtime gives what hetu does, and not it."""
    case = find_case(name)
    inputs, expected = next(iter(case.data_sets()))
    model = load_onnx(case.model)
    feeds = dict(zip(model.inputs, inputs, strict=True))
    theirs = onnxruntime.InferenceSession(case.model.SerializeToString()).run(None, feeds)
    ours = Executor(list(model.outputs.values())).run(
        feed_dict=feeds, convert_to_numpy_ret_vals=True
    )
    assert_equal(ours, theirs)
    with pytest.raises(AssertionError):
        assert_equal(theirs, expected)


@cases
def test_round_trip(case: Case, request: pytest.FixtureRequest, tmp_path: Any) -> None:
    expect_failure(request, "round_trip", case.name)
    model = load_onnx(case.model, trainable=False)
    outputs = list(model.outputs.values())
    executor = Executor(outputs, inference=None)
    exported = export(executor, list(model.inputs.values()), outputs, tmp_path / "model.onnx")
    assert_same_model(exported, case.model)
    assert_same_model(onnx.load(tmp_path / "model.onnx"), case.model)
    if is_valid(case.model):
        onnx.checker.check_model(tmp_path / "model.onnx", full_check=True)


def is_valid(model: onnx.ModelProto) -> bool:
    """Whether onnx's checker accepts the model, inferred shapes included."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


@small_cases
def test_gradient(case: Case, request: pytest.FixtureRequest) -> None:
    expect_failure(request, "gradient", case.name)
    model = load_onnx(case.model, trainable=False)
    inputs, _ = next(iter(case.data_sets()))
    check_gradient(differentiable(model, inputs))


def test_gradient_of_a_real_network() -> None:
    """One of them, with random weights: those of the suite are equal numbers."""
    case = find_case(EQUAL_WEIGHTS)
    inputs, _ = next(iter(case.data_sets()))
    model = load_onnx(with_random_weights(case.model), trainable=False)
    assert check_gradient(differentiable(model, inputs), rtol=1e-6)


def differentiable(model: LoadedModel, inputs: Sequence[Any]) -> Differentiable:
    """The model as a function of its float inputs, at these."""
    graph = Executor(list(model.outputs.values())).subexecutor["default"].graph
    by_name = dict(zip(model.inputs, inputs, strict=False))
    return Differentiable(graph, [_feed(by_name[value.name]) for value in graph.inputs])


def with_random_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with random numbers in place of each ConstantOfShape."""
    random = np.random.default_rng(0)
    shapes = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type != "ConstantOfShape"]
    made = [node for node in model.graph.node if node.op_type == "ConstantOfShape"]
    for node in made:
        shape = shapes[node.input[0]]
        weights = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        tensor = onnx.numpy_helper.from_array(weights.astype(np.float32), node.output[0])
        nodes.insert(0, onnx.helper.make_node("Constant", [], [node.output[0]], value=tensor))
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def _feed(content: Any) -> Any:
    if isinstance(content, list | tuple):
        return tuple(map(_feed, content))
    if content is None or isinstance(content, dict | torch.Tensor):
        return content
    return to_torch(np.asarray(content))
