"""Each of Hetu's operators against what it means, written out in torch or numpy.

A case gives values, gradients and an exported model that ONNX Runtime runs, at the oldest opset
that all of them serve, the default and a newer one, with shapes unknown and known.
"""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from scipy import sparse
from torch.nn import functional as nn

from hetu.api import hetu_ops as ops
from hetu.api.gradients import gradients
from hetu.api.opset import opset
from hetu.api.value import Value
from hetu.api.variable import Variable
from hetu.errors import UsageError
from hetu.onnx.hetu2onnx import export
from hetu.onnx.onnx2hetu import load_onnx
from hetu.optim import (
    SGDOptimizer,
    assign_with_indexedslices_op,
    param_clip_op,
    sparse_set_op,
)
from hetu.runtime.executor import Executor
from hetu.types import TensorType, dtype
from tests.hetu_cases.case import IMAGE, Case, f
from tests.hetu_cases.elementwise import ARITHMETIC, CREATION, ELEMENTWISE
from tests.hetu_cases.layout import IDS, INDEXING, SHAPE, offsets, rows_or_zeros
from tests.hetu_cases.network import CONVOLUTION, LOSS, MATRIX
from tests.hetu_cases.reduction import REDUCTION
from tests.support.compare import assert_same_model

RTOL, ATOL = 1e-4, 1e-5
SETTINGS = [(13, False), (20, False), (20, True), (22, False)]
CASES = [*ARITHMETIC, *ELEMENTWISE, *CREATION, *MATRIX, *CONVOLUTION, *LOSS, *REDUCTION, *SHAPE,
         *INDEXING]  # fmt: skip


@pytest.mark.parametrize(("version", "is_known"), SETTINGS, ids=lambda part: str(part))
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operator(case: Case, version: int, is_known: bool, tmp_path: Path) -> None:
    with opset(max(version, case.oldest)):
        values = [feed(f"x{k}", x, is_known) for k, x in enumerate(case.inputs)]
        result = case.make(values)
        tensors = [torch.from_numpy(np.array(x)) for x in case.inputs]
        for k in case.variables:
            tensors[k].requires_grad_()
        expected = case.oracle(*tensors)
        variables = [values[k] for k in case.variables]
        seed = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
        slopes = gradients(result, variables, Variable("seed")) if variables else []
    feeds = dict(zip(values, case.inputs, strict=True)) | ({"seed": seed} if slopes else {})
    executor = Executor([result, *slopes])
    actual, *found = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    compare(actual, expected)
    if slopes:
        points = [tensors[k] for k in case.variables]
        wanted = torch.autograd.grad(expected, points, torch.from_numpy(seed))
        for slope, want in zip(found, wanted, strict=True):
            compare(slope, want)
    compare(exported(executor, values, result, case.inputs, expected.ndim, tmp_path), expected)


def feed(name: str, x: np.ndarray, is_known: bool) -> Value:
    return Value(name, TensorType(dtype(x.dtype), x.shape if is_known else None))


def compare(actual: np.ndarray, expected: torch.Tensor) -> None:
    array = expected.detach().numpy()
    assert actual.dtype == array.dtype
    assert actual.shape == array.shape
    np.testing.assert_allclose(actual, array, RTOL, ATOL)


def exported(
    executor: Executor,
    values: list[Value],
    result: Value,
    inputs: tuple[np.ndarray, ...],
    rank: int,
    folder: Path,
) -> np.ndarray:
    """What ONNX Runtime makes of the exported graph; hetu reads the file and writes it again."""
    shapes = {value: x.shape for value, x in zip(values, inputs, strict=True)}
    model = export(executor, values, result, folder / "model.onnx", input_shapes=shapes)
    loaded = load_onnx(model, trainable=False)
    outputs = list(loaded.outputs.values())
    again = export(Executor(outputs), list(loaded.inputs.values()), outputs, folder / "again.onnx")
    assert_same_model(again, model)
    check(model, rank)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = {value.name for value in session.get_inputs()}
    feeds = {f"x{k}": x for k, x in enumerate(inputs) if f"x{k}" in names}
    return session.run(None, feeds)[0]


def check(model: onnx.ModelProto, rank: int) -> None:
    """The model is valid; onnx does not infer the rank of all outputs, but wants to be told."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (output,) = copy.graph.output
    if not output.type.tensor_type.HasField("shape"):
        output.type.tensor_type.shape.dim.extend([onnx.TensorShapeProto.Dimension()] * rank)
        output.type.tensor_type.shape.SetInParent()
    onnx.checker.check_model(copy, full_check=True)


def test_every_operator_has_a_case() -> None:
    special = {"batch_normalization_op", "unique_indices_offsets_op"}
    sampled = {name for name in ops.__all__ if "sample" in name or name == "rand_op"}
    assert {case.name for case in CASES} | special | sampled == set(ops.__all__)


SAMPLES = {
    "rand_op": ({}, lambda n: (n.min() >= 0) & (n.max() < 1), 0.5, 12**-0.5),
    "uniform_sample_op": ({"low": 2, "high": 5}, lambda n: (n.min() >= 2) & (n.max() <= 5),
                          3.5, 3 * 12**-0.5),
    "normal_sample_op": ({"mean": 2, "stddev": 3}, lambda n: n.std() > 1, 2, 3),
    "truncated_normal_sample_op": ({"mean": 2, "stddev": 3}, lambda n: abs(n - 2).max() <= 6.0001,
                                   2, 3 * 0.87963),
    "gumbel_sample_op": ({}, np.isfinite, 0.5772, math.pi / 6**0.5),
    "randint_sample_op": ({"low": -2, "high": 5}, lambda n: set(n.flat) == set(range(-2, 5)), 1, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("version", [13, 20])
def test_samples(name: str, version: int, tmp_path: Path) -> None:
    options, is_possible, mean, deviation = SAMPLES[name]
    with opset(version):
        result = getattr(ops, name)((100, 200), **options)
    executor = Executor([result], seed=1)
    first, second = (executor.run(convert_to_numpy_ret_vals=True)[0] for _ in range(2))
    assert (first != second).any()
    for sample in (first, second, exported_sample(executor, result, tmp_path)):
        assert sample.shape == (100, 200)
        assert sample.dtype == (np.int32 if name == "randint_sample_op" else np.float32)
        assert np.all(is_possible(sample))
        # five standard errors: ONNX Runtime's sample is another in every process
        assert sample.mean() == pytest.approx(mean, abs=5 * deviation / math.sqrt(sample.size))
        assert sample.std() == pytest.approx(deviation, rel=5 * math.sqrt(1.1 / sample.size))


def exported_sample(executor: Executor, result: Value, folder: Path) -> np.ndarray:
    model = export(executor, [], result, folder / "sample.onnx")
    check(model, 2)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {})[0]


def test_truncated_normal_has_its_distribution(tmp_path: Path) -> None:
    """The kernel, and the polynomial in its exported body, against the exact probabilities."""
    result = ops.truncated_normal_sample_op((200, 200), 0, 1)
    executor = Executor([result], seed=2)
    points = torch.linspace(-1.9, 1.9, 20, dtype=torch.float64)
    low, high = torch.special.ndtr(torch.tensor([-2.0, 2.0], dtype=torch.float64))
    exact = (torch.special.ndtr(points) - low) / (high - low)
    samples = [*executor.run(convert_to_numpy_ret_vals=True)]
    samples.append(exported_sample(executor, result, tmp_path))
    for sample in samples:
        found = (sample.reshape(-1, 1) < points.numpy()).mean(0)
        np.testing.assert_allclose(found, exact, atol=0.01)


@pytest.mark.parametrize("version", [13, 20])
@pytest.mark.parametrize("shape", [(3,), (1, 3, 1, 1)])
def test_batch_normalization(shape: tuple[int, ...], version: int, tmp_path: Path) -> None:
    x, scale, shift = Variable("x"), f(*shape), f(*shape)
    parameters = [Variable("scale", scale), Variable("shift", shift)]
    with opset(version):
        y = ops.batch_normalization_op(x, *parameters, momentum=0.2, eps=0.01)
        train = SGDOptimizer(0.1).minimize(ops.reduce_sum_op(y * y, [0, 1, 2, 3]))
    executor = Executor({"train": [y, train], "validate": [y]})
    actual, _ = executor.run("train", feed_dict={x: IMAGE}, convert_to_numpy_ret_vals=True)
    image = torch.from_numpy(IMAGE)
    weights = [torch.from_numpy(w.reshape(-1)).requires_grad_() for w in (scale, shift)]
    expected = nn.batch_norm(image, None, None, *weights, training=True, eps=0.01)
    compare(actual, expected)
    (expected**2).sum().backward()
    state = executor.state_dict()
    for name, weight in zip(("scale", "shift"), weights, strict=True):
        compare(state[name].reshape(-1), weight - 0.1 * weight.grad)
    mean, variance = image.mean((0, 2, 3)), image.var((0, 2, 3))
    compare(state["scale_running_mean"], 0.2 * mean)
    compare(state["scale_running_var"], 0.8 + 0.2 * variance)
    statistics = [torch.from_numpy(state[f"scale_running_{kind}"]) for kind in ("mean", "var")]
    trained = [torch.from_numpy(state[name].reshape(-1)) for name in ("scale", "shift")]
    expected = nn.batch_norm(image, *statistics, *trained, eps=0.01)
    (actual,) = executor.run("validate", feed_dict={x: IMAGE}, convert_to_numpy_ret_vals=True)
    compare(actual, expected)
    model = export(executor, x, y, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    compare(session.run(None, {"x": IMAGE})[0], expected)


def test_batch_normalization_needs_a_shape() -> None:
    with pytest.raises(UsageError, match="bn_scale"):
        ops.batch_normalization_op(Variable("x"), Variable("scale"), Variable("shift"))


@pytest.mark.parametrize("name", ["dropout_op", "dropout2d_op"])
def test_dropout_in_training(name: str) -> None:
    x = Variable("x")
    ones = np.ones((50, 40, 3, 3), np.float32)
    y = getattr(ops, name)(x, 0.4)
    executor = Executor([y, *gradients(y, x)], inference=False, seed=3)
    actual, slope = executor.run(feed_dict={x: ones}, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(actual, slope)
    np.testing.assert_allclose(np.unique(actual), [0, 1 / 0.4], RTOL)
    assert (actual > 0).mean() == pytest.approx(0.4, abs=0.03)
    is_uniform = (actual == actual[:, :, :1, :1]).all()
    assert is_uniform == (name == "dropout2d_op")


def test_factor_follows_its_schedule(tmp_path: Path) -> None:
    x = Variable("x")
    y = ops.mul_byconst_op(x, 2.0, const_updater=lambda n: 10.0 * n)
    executor = Executor({"train": [y], "validate": [y]}, inference=None)

    def run(name: str, inference: bool) -> float:
        (result,) = executor.run(name, feed_dict={x: [1.0]}, inference=inference)
        return float(result.asnumpy()[0])

    assert [run("train", False) for _ in range(3)] == [2, 10, 20]
    assert [run("validate", True) for _ in range(2)] == [30, 30]
    executor.save(str(tmp_path), "checkpoint")
    assert [run("train", False) for _ in range(2)] == [30, 40]
    executor.load(str(tmp_path), "checkpoint")
    assert [run("train", False) for _ in range(2)] == [30, 40]
    model = export(executor, x, y, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert session.run(None, {"x": np.float32([1])})[0] == [50]


def test_offsets_group_positions_by_id() -> None:
    ids = Variable("ids", dtype=np.int32)
    executor = Executor([offsets(ids)])
    (result,) = executor.run(feed_dict={ids: IDS}, convert_to_numpy_ret_vals=True)
    assert result.dtype == np.int32
    assert result[0] == 4
    groups = [set(result[1:7][a:b]) for a, b in itertools.pairwise(result[7:12])]
    assert groups == [{3}, {1, 5}, {0, 2}, {4}]
    assert list(result[11:]) == [6, 6, 6]
    with pytest.raises(UsageError, match="unique_indices_op"):
        ops.unique_indices_offsets_op(ids)


def test_sparse_feeds() -> None:
    matrix = sparse.random(4, 5, 0.4, "csr", np.float32, np.random.default_rng(4))
    a, b, v, k = Variable("a"), Variable("b"), Variable("v"), Variable("k", dtype=np.int32)
    results = [ops.csrmm_op(a, b), ops.csrmv_op(a, v), ops.sparse_embedding_lookup_op(a, k)]
    feeds = {a: matrix, b: f(5, 2), v: f(5), k: np.array([3, 0])}
    product, vector, rows = Executor(results).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(product, matrix @ feeds[b], RTOL, ATOL)
    np.testing.assert_allclose(vector, matrix @ feeds[v], RTOL, ATOL)
    np.testing.assert_allclose(rows, matrix.toarray()[[3, 0]], RTOL, ATOL)


def test_writing_to_variables() -> None:
    table = Variable("table", np.arange(8).reshape(4, 2))
    codes = Variable("codes", [1, 2, 3], dtype=np.int32, trainable=False)
    ids, rows = Variable("ids", dtype=np.int32), Variable("rows")
    writes = [
        assign_with_indexedslices_op(table, ids, rows),
        sparse_set_op(codes, [2, 0], [7, 8]),
        param_clip_op(table, rows, 1.0, 6.0),
    ]
    executor = Executor(writes)
    assert executor.subexecutor["default"].inference
    feeds = {ids: [[2, -1], [0, -1]], rows: np.full((2, 2, 2), 9)}
    assert executor.run(feed_dict=feeds) == [None, None, None]
    state = executor.state_dict()
    assert state["table"].tolist() == [[6, 6], [2, 3], [6, 6], [6, 6]]
    assert state["codes"].tolist() == [8, 2, 7]
    with pytest.raises(UsageError, match="written"):
        sparse_set_op(rows, ids, rows)


def test_dense_gradient_of_a_table_is_an_ordinary_value() -> None:
    table = Variable("table", f(4, 2))
    rows = ops.embedding_lookup_op(table, Variable("ids"))
    (slope,) = gradients(rows * rows * rows, table)
    (second,) = gradients(slope * slope, table)
    ids = np.array([1, 1, 3, 9])
    executor = Executor([slope, second])
    actual = executor.run(feed_dict={"ids": ids}, convert_to_numpy_ret_vals=True)
    weight = torch.from_numpy(table.data.array.copy()).requires_grad_()
    picked = rows_or_zeros(weight, torch.from_numpy(ids))
    (first,) = torch.autograd.grad((picked**3).sum(), weight, create_graph=True)
    compare(actual[0], first)
    compare(actual[1], torch.autograd.grad((first**2).sum(), weight)[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda x: ops.bool_op(x, val=1, cond=5),
        lambda x: ops.interpolate_op(x, size=(2, 2), mode="nearest"),
        lambda x: ops.interpolate_op(x),
        lambda x: ops.norm_op(x, 0, p=-1),
        lambda x: ops.reduce_sum_op(x, [0, 1], keepdims=[True]),
    ],
)
def test_wrong_calls(make: Callable[[Value], Value]) -> None:
    with pytest.raises(UsageError):
        make(Variable("x"))
