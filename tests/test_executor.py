"""Running: feeds, results, subgraphs, modes, errors."""

import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from onnx import parser

import hetu as ht
from hetu.errors import RunError, UsageError


def load(text: str, opset: int = 20) -> ht.onnx.LoadedModel:
    return ht.onnx.load_onnx(
        parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]> {text}')
    )


def run(model: ht.onnx.LoadedModel, feeds: dict, as_numpy: bool = True) -> list:
    executor = ht.Executor(list(model.outputs.values()))
    return executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=as_numpy)


ADD = "g (float[N, 2] x) => (float[N, 2] y) <float[2] w = {1, 2}> { y = Add(x, w) }"
X = np.float32([[1, 2], [3, 4]])


def test_unpacking_and_contents() -> None:
    model = load(ADD)
    x, y = model
    assert (x.name, y.name) == ("x", "y")
    assert list(model.inputs) == ["x"] and list(model.outputs) == ["y"]
    assert list(model.variables) == ["w"] and model.variables["w"].trainable
    assert model.opsets == {"": 20}
    assert model["w"] is model.variables["w"]
    inputs, outputs = load(
        "g (float x, float z) => (float y, float v) { y = Add(x, z) v = Neg(x) }"
    )
    assert [v.name for v in inputs] == ["x", "z"] and [v.name for v in outputs] == ["y", "v"]


@pytest.mark.parametrize(
    "feed",
    [X, torch.from_numpy(X), X.tolist(), ht.array(X), [[1, 2], [3, 4]]],
    ids=lambda f: type(f).__name__,
)
def test_forms_of_feeds(feed: object) -> None:
    model = load(ADD)
    x, _ = model
    for key in (x, "x"):
        np.testing.assert_array_equal(run(model, {key: feed})[0], X + np.float32([1, 2]))


def field_of_records(content: np.ndarray, size: tuple[int, ...] = ()) -> np.ndarray:
    """The same numbers, with a byte before each or, of a size, before so many."""
    records = np.zeros(content.shape[: 2 - len(size)], [("tag", "i1"), ("number", "f4", size)])
    records["number"] = content
    return records["number"]


def unaligned(content: np.ndarray) -> np.ndarray:
    """The same numbers, at an odd address."""
    moved = np.empty(content.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(content.shape)
    moved[:] = content
    return moved


@pytest.mark.parametrize(
    "lay",
    [
        lambda x: x[::-1], lambda x: x[:, ::-1], np.asfortranarray, unaligned,
        field_of_records, lambda x: field_of_records(x, (2,)),
        lambda x: x.astype(">f4"), lambda x: np.broadcast_to(x[:1], x.shape), lambda x: x[::2],
    ],
    ids=[
        "reversed", "mirrored", "Fortran", "unaligned", "records", "pairs", "big-endian",
        "read-only", "spread",
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [0, 1, 2])
def test_feeds_that_lie_otherwise(lay: Callable[[np.ndarray], np.ndarray], count: int) -> None:
    feed = lay(X[:count])
    before = feed.copy()
    np.testing.assert_array_equal(run(load(ADD), {"x": feed})[0], before + np.float32([1, 2]))
    np.testing.assert_array_equal(feed, before)


READ_ONLY = X + 2
READ_ONLY.setflags(write=False)

ONE_AFTER_THE_OTHER: list[Any] = [
    X, X + 1, X[:1], X[:1] + 1, np.float32(X.T + 1).T, X, READ_ONLY, X.tolist(),
    torch.from_numpy(X + 4), X + 5, np.zeros((0, 2), np.float32), X + 6, X + 7,
]  # fmt: skip


@pytest.mark.parametrize("optimize", [True, False])
def test_feeds_of_other_forms_from_run_to_run(optimize: bool) -> None:
    x, y = load(ADD)
    executor = ht.Executor([y], optimize=optimize)
    for content in ONE_AFTER_THE_OTHER * 2:
        for key in (x, "x"):
            (result,) = executor.run(feed_dict={key: content}, convert_to_numpy_ret_vals=True)
            np.testing.assert_array_equal(result, np.asarray(content) + np.float32([1, 2]))
    for misfit in (X[0], X.astype(np.float64), X[:, :1]):
        with pytest.raises(UsageError, match="expected"):
            executor.run(feed_dict={x: misfit})
    (result,) = executor.run(feed_dict={x: X}, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(result, X + np.float32([1, 2]))


def test_hand_built_feeds_of_other_types_from_run_to_run() -> None:
    x = ht.Variable("x", trainable=False)
    executor = ht.Executor([x * 2])
    for content in (X, X.astype(np.float64), X.astype(np.int64), X, X.astype(np.float64)):
        (result,) = executor.run(feed_dict={x: content}, convert_to_numpy_ret_vals=True)
        np.testing.assert_array_equal(result, content * 2)


def test_results_are_ndarrays_or_numpy() -> None:
    model = load(ADD)
    (array,) = run(model, {"x": X}, as_numpy=False)
    assert isinstance(array, ht.NDArray) and array.shape == (2, 2) and array.ctx == ht.cpu(0)
    np.testing.assert_array_equal(array.asnumpy(), run(model, {"x": X})[0])


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": X[0]}, r"'x': expected float32\[N, 2\], got float32\[2\]"),
        ({"x": X.T[:1].T}, r"'x': expected float32\[N, 2\], got float32\[2, 1\]"),
        ({"x": X.astype(np.int64)}, r"'x': expected float32\[N, 2\], got int64"),
        ({"x": X.astype(np.float64)}, r"'x': expected float32\[N, 2\], got float64"),
        ({"x": torch.from_numpy(X).half()}, r"'x': expected float32\[N, 2\], got float16"),
        ({"x": [["a", "b"]]}, r"'x': expected float32\[N, 2\], got string"),
        ({"x": None}, r"'x': expected float32\[N, 2\], got None"),
        ({"x": [[1, 2], [3]]}, "'x': no array"),
        ({}, r"'x' \(float32\[N, 2\]\) is not fed"),
        ({"x": X, "z": X}, "'z' is no feed of this graph; it takes 'x'"),
    ],
    ids=str,
)
def test_feeds_that_do_not_fit(feeds: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(load(ADD), feeds)


def test_a_variable_may_be_fed_for_one_run() -> None:
    model = load(ADD)
    executor = ht.Executor(list(model.outputs.values()))
    feeds = {"x": X, "w": np.float32([0, 0])}
    (fed,) = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(fed, X)
    (own,) = executor.run(feed_dict={"x": X}, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(own, X + np.float32([1, 2]))


def test_hand_built_feeds_take_any_numbers() -> None:
    x = ht.Variable(name="x")
    (y,) = ht.Executor([x * 2]).run(feed_dict={x: np.arange(3)}, convert_to_numpy_ret_vals=True)
    assert y.dtype == np.float32 and y.tolist() == [0, 2, 4]


def test_a_failing_operator_is_named() -> None:
    model = load(
        "g (float[A, B] x) => (float[A, C] y) <float[2,3] w = {1,2,3,4,5,6}> { y = MatMul(x, w) }"
    )
    with pytest.raises(RunError, match=r"MatMul-20 'y' on \(float32\[2, 5\], float32\[2, 3\]\)"):
        run(model, {"x": np.zeros((2, 5), np.float32)})


def test_a_failing_operator_in_a_branch_is_named_with_its_path() -> None:
    model = load("""g (bool c, float[A, B] x) => (float[A, B] y) {
        y = If(c) <then_branch = t () => (float[A, B] a) { a = MatMul(x, x) },
                   else_branch = e () => (float[A, B] b) { b = Relu(x) }> }""")
    with pytest.raises(RunError, match=r"If-20 'y' on .* > MatMul-20 'a' on"):
        run(model, {"c": True, "x": np.zeros((2, 5), np.float32)})


def test_several_subgraphs_share_variables() -> None:
    x, w = ht.Variable(name="x"), ht.Variable(name="w", value=np.float32([3.0]))
    loss = ht.op.ReduceSum(x * w, keepdims=0)
    executor = ht.Executor(
        {"train": [loss, ht.optim.SGDOptimizer(1.0).minimize(loss)], "validate": [x * w]}
    )
    assert executor.run("train", feed_dict={x: [1.0]})[1] is None
    assert executor.run("validate", feed_dict={x: [1.0]})[0].asnumpy().tolist() == [2.0]
    with pytest.raises(UsageError, match="no subgraph 'test'; it has 'train', 'validate'"):
        executor.run("test", feed_dict={x: [1.0]})


def test_eval_node_list_plans_anew() -> None:
    x = ht.Variable(name="x")
    a, b = x + 1.0, x * 2.0
    executor = ht.Executor([a])
    values = executor.run(
        eval_node_list=[b, a], feed_dict={x: [3.0]}, convert_to_numpy_ret_vals=True
    )
    assert [value.tolist() for value in values] == [[6.0], [4.0]]
    assert len(executor.run(feed_dict={x: [3.0]})) == 2


def test_unknown_options_are_refused_and_distributed_ones_ignored() -> None:
    x = ht.Variable(name="x")
    with pytest.raises(UsageError, match="no option 'optimise'"):
        ht.Executor([x], optimise=True)
    with pytest.warns(UserWarning, match="comm_mode"):
        ht.Executor([x], comm_mode="AllReduce")


def test_a_missing_gpu_is_said_once() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    x = ht.Variable(name="x")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        executors = [ht.Executor([x * 2.0], ctx=ht.gpu(7)) for _ in range(2)]
    assert [str(w.message) for w in caught if "gpu(7)" in str(w.message)] != []
    assert sum("gpu(7)" in str(w.message) for w in caught) == 1
    assert executors[0].run(feed_dict={x: [1.0]})[0].asnumpy().tolist() == [2.0]


def test_source_is_python_that_calls_the_kernels() -> None:
    x = ht.Variable(name="x")
    source = ht.Executor([ht.relu_op(x + 1.0)]).source()
    compile(source, "source", "exec")
    assert "add" in source and "relu" in source


DROPOUT = "g (float[N] x) => (float[N] y) <float r = {0.5}, bool t = {1}> { y = Dropout(x, r, t) }"


def test_dropout_follows_the_executor_not_the_file() -> None:
    x, y = load(DROPOUT)
    ones = np.ones(1000, np.float32)
    scale = ht.Variable(name="scale", value=np.float32([1.0]))
    loss = ht.op.ReduceSum(y * scale, keepdims=0)
    train = ht.optim.SGDOptimizer(0.0).minimize(loss)
    executor = ht.Executor({"train": [y, train], "validate": [y]}, seed=0)
    (kept,) = executor.run("validate", feed_dict={x: ones}, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(kept, ones)
    dropped, _ = executor.run("train", feed_dict={x: ones}, convert_to_numpy_ret_vals=True)
    assert set(dropped) == {0.0, 2.0}
    as_filed = executor.run(
        "validate", feed_dict={x: ones}, inference=None, convert_to_numpy_ret_vals=True
    )
    assert set(as_filed[0]) == {0.0, 2.0}


def test_a_seed_makes_random_operators_reproducible() -> None:
    x, y = load(DROPOUT)
    ones = np.ones(100, np.float32)
    draws = [
        ht.Executor([y], seed=5, inference=False).run(
            feed_dict={x: ones}, convert_to_numpy_ret_vals=True
        )[0]
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*draws)


NORM = """g (float[N, 2] x) => (float[N, 2] y)
    <float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] mean = {0, 0}, float[2] var = {1, 1}>
    { y = BatchNormalization <momentum = 0.75> (x, s, b, mean, var) }"""


def test_running_statistics_are_updated_in_training_and_exported(tmp_path) -> None:
    model = load(NORM)
    x, y = model
    assert not model.variables["mean"].trainable and model.variables["s"].trainable
    loss = ht.op.ReduceSum(y * y, keepdims=0)
    executor = ht.Executor(
        {"train": [y, ht.optim.SGDOptimizer(0.0).minimize(loss)], "validate": [y]}
    )
    batch = np.random.default_rng(0).normal(3, 2, (64, 2)).astype(np.float32)
    trained, _ = executor.run("train", feed_dict={x: batch}, convert_to_numpy_ret_vals=True)
    mean, var = batch.mean(0), batch.var(0)
    np.testing.assert_allclose(trained, (batch - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    state = executor.state_dict()
    np.testing.assert_allclose(state["mean"], 0.25 * mean, rtol=1e-5)
    np.testing.assert_allclose(state["var"], 0.75 + 0.25 * batch.var(0, ddof=1), rtol=1e-5)
    exported = ht.onnx.export(executor, [x], [y], tmp_path / "norm.onnx")
    written = {t.name: onnx.numpy_helper.to_array(t) for t in exported.graph.initializer}
    np.testing.assert_array_equal(written["mean"], state["mean"])


@pytest.mark.parametrize(
    "element", ["bfloat16", "float8_e4m3fn", "int4", "uint4", "uint16", "uint64", "float4_e2m1fn"]
)
def test_types_that_torch_cannot_compute_in_come_back_as_they_are(element: str) -> None:
    dtype = np.dtype(getattr(ml_dtypes, element, None) or element)
    code = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    model = load("g (float[A, B] x) => (float[B, A] y) { y = Transpose(x) }", opset=28)
    info = [onnx.helper.make_tensor_value_info("x", code, ["A", "B"])]
    node = onnx.helper.make_node("Transpose", ["x"], ["y"])
    out = [onnx.helper.make_tensor_value_info("y", code, ["B", "A"])]
    graph = onnx.helper.make_graph([node], "g", info, out)
    model = ht.onnx.load_onnx(
        onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 28)], ir_version=14
        )
    )
    x = np.array([[0, 1, 2], [3, 1, 0]]).astype(dtype)
    (y,) = run(model, {"x": x})
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.astype(np.float32), x.T.astype(np.float32))


def test_strings_sequences_optionals_and_maps_in_and_out() -> None:
    (text,) = run(load("g (string[N] x) => (string[N] y) { y = Identity(x) }"), {"x": ["a", "ü"]})
    assert text.dtype == object and text.tolist() == ["a", "ü"]
    (items,) = run(load("g (seq(float[N]) x) => (seq(float[N]) y) { y = Identity(x) }"),
                   {"x": [np.float32([1]), [2.0, 3.0]]})  # fmt: skip
    assert [item.tolist() for item in items] == [[1.0], [2.0, 3.0]]
    model = load("g (optional(float[N]) x) => (bool y) { y = OptionalHasElement(x) }")
    assert run(model, {"x": None})[0].tolist() is False
    assert run(model, {"x": np.float32([1])})[0].tolist() is True


@pytest.mark.parametrize(
    "text",
    [
        "g (float[2] x) => (float[2] y) { y = Identity(x) }",
        "g (float[2] x) => (float[1, 2] y) <int64[2] s = {1, 2}> { y = Reshape(x, s) }",
        "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Identity(w) }",
        "g (float[2] x) => (float[2] y) { y = Constant <value = float[2] {1, 2}> () }",
        "g (float[2] x) => (string[2] y) { y = Constant <value_strings = ['a', 'b']> () }",
    ],
)
def test_results_belong_to_the_caller(text: str) -> None:
    model = load(text.replace("'", '"'))
    executor = ht.Executor(list(model.outputs.values()))
    feed = np.float32([1, 2])
    feeds = {"x": feed}
    (first,) = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    expected = first.copy()
    first[...] = "changed" if first.dtype == object else 99
    assert feed.tolist() == [1, 2]
    (second,) = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(second, expected)


@pytest.mark.parametrize(
    "ask",
    [
        lambda executor: executor.run("tset"),
        lambda executor: executor.source("tset"),
        lambda executor: executor.explain("tset"),
        lambda executor: executor.profile("tset"),
        lambda executor: executor.get_batch_num("tset"),
        lambda executor: executor.set_dataloader_batch_index("tset", 0),
    ],
)
def test_an_unknown_subgraph_is_named(
    ask: Callable[[ht.Executor], Any],
) -> None:
    x = ht.Variable(name="x")
    executor = ht.Executor({"train": [x * 2], "test": [x + 1]})
    with pytest.raises(UsageError, match=r"'tset'.* it has 'train', 'test'"):
        ask(executor)
