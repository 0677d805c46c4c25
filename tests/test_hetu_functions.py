"""Operators of domain `hetu` in files: functions for others, operators again for hetu."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from hetu.api import hetu_ops as ops
from hetu.api.opset import opset
from hetu.api.variable import Variable
from hetu.errors import UnsupportedError
from hetu.onnx.hetu2onnx import export
from hetu.onnx.onnx2hetu import load_onnx
from hetu.runtime.executor import Executor
from tests.support.compare import assert_same_model


def test_opset_passes_through_operators_of_hetu() -> None:
    with opset(15):
        x = ops.relu_op(Variable("x"))
    assert ops.relu_op(ops.stop_gradient_op(x)).node.version == 15


def test_operators_of_hetu_need_a_function_body_that_fits(tmp_path: Path) -> None:
    x = Variable("x")
    with opset(11):
        y = ops.relu_op(ops.stop_gradient_op(x))
    with pytest.raises(UnsupportedError, match="opset 13"):
        export(Executor([y]), x, y, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_a_model_of_one_operator_of_hetu_alone(tmp_path: Path) -> None:
    x = Variable("x")
    y = ops.binary_step_op(x)
    model = export(Executor([y]), x, y, tmp_path / "m.onnx", opset=18)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": 18, "hetu": 1}
    loaded = load_onnx(model)
    assert loaded.outputs["BinaryStep"].node.function is None
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert session.run(None, {"x": np.float32([-1, 0, 2])})[0].tolist() == [0, 0, 1]


def test_a_function_that_only_looks_like_hetus_stays_a_function(tmp_path: Path) -> None:
    x = Variable("x")
    y = ops.binary_step_op(x)
    model = export(Executor([y]), x, y, tmp_path / "m.onnx")
    model.functions[0].node[0].op_type = "Abs"
    loaded = load_onnx(model)
    executor = Executor(list(loaded.outputs.values()))
    (result,) = executor.run(feed_dict={"x": np.float32([-1, 0])}, convert_to_numpy_ret_vals=True)
    assert result.tolist() == [1, 0]
    outputs = list(loaded.outputs.values())
    again = export(executor, loaded.inputs["x"], outputs, tmp_path / "again.onnx")
    assert_same_model(again, model)
