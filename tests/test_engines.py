"""Inference in other engines, and through torch.compile."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import hetu as ht
from hetu.errors import RunError, UnsupportedError, UsageError

ENGINES = ["onnxruntime", "openvino"]
RTOL = ATOL = 1e-5
"""Sums of some ten float32 numbers in another order."""


def network() -> tuple:
    random = np.random.default_rng(0)
    x, target = ht.placeholder_op("x"), ht.placeholder_op("target")
    first = ht.Variable("first", value=random.standard_normal((6, 8), np.float32))
    second = ht.Variable("second", value=random.standard_normal((8, 3), np.float32))
    logits = ht.matmul_op(ht.relu_op(ht.matmul_op(x, first)), second)
    loss = ht.reduce_mean_op(ht.softmaxcrossentropy_op(logits, target), [0])
    return x, target, first, second, logits, loss, ht.optim.SGDOptimizer(0.1).minimize(loss)


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(size)
    inputs = random.standard_normal((size, 6), np.float32)
    return inputs, np.eye(3, dtype=np.float32)[random.integers(0, 3, size)]


def expected(inputs: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.maximum(inputs @ first, 0) @ second


@pytest.mark.parametrize("backend", ENGINES)
def test_weights_follow_training_loading_and_feeds(backend: str, tmp_path: Path) -> None:
    x, target, _, second, logits, loss, train = network()
    executor = ht.Executor({"train": [loss, train], "infer": [logits, x, logits]}, backend=backend)
    executor.save(str(tmp_path))

    def check(size: int, fed: dict) -> None:
        inputs, _ = batch(size)
        got, same, again = executor.run("infer", feed_dict={"x": inputs} | fed)
        state = executor.state_dict() | {value.name: array for value, array in fed.items()}
        want = expected(inputs, state["first"], state["second"])
        np.testing.assert_allclose(got.asnumpy(), want, RTOL, ATOL)
        np.testing.assert_allclose(again.asnumpy(), want, RTOL, ATOL)
        np.testing.assert_array_equal(same.asnumpy(), inputs)

    check(4, {})
    before = executor.state_dict()["first"].copy()
    inputs, labels = batch(5)
    executor.run("train", feed_dict={x: inputs, target: labels})
    assert not np.array_equal(before, executor.state_dict()["first"])
    check(2, {})
    check(1, {second: np.ones((8, 3), np.float32)})
    executor.load(str(tmp_path))
    np.testing.assert_array_equal(before, executor.state_dict()["first"])
    check(3, {})


def training_graph(body: str, opset: int) -> onnx.ModelProto:
    """A model with weights w, mean and var, and what a file for training says."""
    return onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : {opset}]>
        g (float[n, 3, 2] x) => (float[n, 3, 2] y, float[k] m)
        <float[3] w = {{1, 2, 3}}, float[3] mean = {{0, 1, 2}}, float[3] var = {{1, 4, 9}},
         float half = {{0.5}}, bool yes = {{1}}> {{ {body} }}""")


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize(("body", "opset"), [
    ("d = Dropout(x, half, yes) y, m, v = BatchNormalization<training_mode=1>(d, w, w, mean, var)",
     15),
    ("d = Dropout(x) y, m, v, a, b = BatchNormalization(d, w, w, mean, var)", 9),
    ("""d = If (yes) <
        then_branch = t () => (e) { s = Mul(x, half) r = Dropout(s, half, yes) e = Abs(r) },
        else_branch = f () => (e) { e = Neg(x) }>
     twice = Add(d, d) a = Abs(x) s = Sub(x, a) b = Add(twice, s)
     y, m, v = BatchNormalization<training_mode=1>(b, w, w, mean, var)""", 15),
])  # fmt: skip
def test_files_for_training_infer(backend: str, body: str, opset: int) -> None:
    x, outputs = ht.onnx.load_onnx(training_graph(body, opset))
    inputs = np.random.default_rng(0).standard_normal((5, 3, 2), np.float32)
    executor = ht.Executor(outputs, backend=backend)
    got, statistic = executor.run(feed_dict={x: inputs}, convert_to_numpy_ret_vals=True)
    scale, mean, var = (
        np.array(row, np.float32)[:, None] for row in ((1, 2, 3), (0, 1, 2), (1, 4, 9))
    )
    expected = (inputs - mean) / np.sqrt(var + 1e-5) * scale + scale
    np.testing.assert_allclose(got, expected, RTOL, ATOL)
    np.testing.assert_array_equal(statistic, mean[:, 0])


@pytest.mark.parametrize("backend", ENGINES)
def test_wrong_feeds_are_usage_errors(backend: str) -> None:
    logits = network()[4]
    executor = ht.Executor([logits], backend=backend)
    with pytest.raises(UsageError, match="'x'.*not fed"):
        executor.run(feed_dict={})
    with pytest.raises(UsageError, match="'y' is no feed"):
        executor.run(feed_dict={"y": 1})


SEQUENCE = "(seq(float[k]) x) => (seq(float[k]) y, float[n] z, bool b) { " \
    "y = SequenceErase(x) z = ConcatFromSequence<axis = 0>(x) o = Optional(z) " \
    "b = OptionalHasElement(o) }"  # fmt: skip


@pytest.mark.parametrize(("graph", "feed"), [
    ("(string[n] x) => (string[n] y) { y = StringConcat(x, x) }", np.array(["a", "é"])),
    (SEQUENCE, [np.ones(2, np.float32), np.zeros(3, np.float32)]),
    ("(float[n, 2] x) => (seq(map(int64, float)) y) "
     "{ y = ai.onnx.ml.ZipMap<classlabels_int64s = [3, 4]>(x) }", np.ones((3, 2), np.float32)),
    ("(float[n, 2] x) => (float[n, 2] y) { y = Exp(x) }", np.ones((0, 2), np.float32)),
])  # fmt: skip
def test_what_onnxruntime_takes_and_gives(graph: str, feed: object) -> None:
    opsets = 'ir_version: 10, opset_import: ["" : 20, "ai.onnx.ml" : 3]'
    model = ht.onnx.load_onnx(onnx.parser.parse_model(f"<{opsets}> g {graph}"))
    here, there = (
        ht.Executor(list(model.outputs.values()), backend=backend).run(
            feed_dict={"x": feed}, convert_to_numpy_ret_vals=True
        )
        for backend in (None, "onnxruntime")
    )
    np.testing.assert_equal(there, here)


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("element", ["bfloat16", "float8e4m3fn", "int4"])
def test_types_that_cannot_cross_are_refused(backend: str, element: str) -> None:
    for given, made in ((element, "float"), ("float", element)):
        code = getattr(onnx.TensorProto, made.upper())
        x, y = ht.onnx.load_onnx(onnx.parser.parse_model(
            '<ir_version: 10, opset_import: ["" : 21]> '
            f"g ({given}[n] x) => ({made}[n] y) {{ y = Cast<to = {code}>(x) }}"
        ))  # fmt: skip
        content = np.ones(3).astype(x.dtype.numpy)
        with pytest.raises(UnsupportedError, match=f"{backend} takes and gives no"):
            ht.Executor([y], backend=backend).run(feed_dict={x: content})


@pytest.mark.parametrize("backend", ENGINES)
def test_operators_of_hetu_run_in_engines(backend: str) -> None:
    x = ht.placeholder_op("x")
    y = ht.binarycrossentropy_op(ht.sigmoid_op(x), ht.sigmoid_op(x))
    p = 1 / (1 + np.exp(-batch(3)[0]))
    got = ht.Executor([y], backend=backend).run(feed_dict={x: batch(3)[0]})[0].asnumpy()
    np.testing.assert_allclose(got, -p * np.log(p) - (1 - p) * np.log(1 - p), RTOL, ATOL)


def test_what_engines_cannot_run_is_named() -> None:
    ht.onnx.register("test.engines", "Twice", lambda x: x * 2)
    x, y = ht.onnx.load_onnx(onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "test.engines" : 1]> '
        "g (float[n] x) => (float[n] y) { e = Exp(x) y = test.engines.Twice(e) }"
    ))  # fmt: skip
    with pytest.raises(UnsupportedError, match="Twice-1 'y': onnxruntime has no kernel"):
        ht.Executor([y], backend="onnxruntime").run(feed_dict={x: np.ones(2, np.float32)})


def test_engines_compute_in_the_types_of_the_graph() -> None:
    logits = network()[4]
    with pytest.raises(UsageError, match="leave out precision='bf16'"):
        ht.Executor([logits], backend="onnxruntime", precision="bf16")


def test_models_are_loaded_only_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a: loaded.append(a) or session(*a))
    monkeypatch.setattr("hetu.runtime.engine.MAX_SESSIONS", 2)
    x = ht.placeholder_op("x")
    weight = ht.Variable("w", value=np.ones(3, np.float32))
    scheduled = ht.mul_byconst_op(x, 1, lambda runs: 5.0)  # changes in runs that train
    scale = scheduled * weight
    executor = ht.Executor([scale], backend="onnxruntime")

    def count(shape: tuple[int, ...], fed: dict) -> int:
        content = np.full(shape, 2, np.float32)
        got = executor.run(feed_dict={x: content} | fed)[0].asnumpy()
        np.testing.assert_array_equal(got, content * fed.get(weight, np.float32(1)))
        return len(loaded)

    other = {weight: np.full(3, 7, np.float32)}
    counts = [count((3,), {}), count((3,), {}), count((3,), other), count((3,), other)]
    assert counts == [1, 1, 2, 2]
    assert [count((2, 3), {}), count((3,), other), count((3,), {})] == [3, 3, 4]


@pytest.mark.parametrize("backend", ENGINES)
def test_data_loaders_feed_engines(backend: str) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    x = ht.dataloader_op([ht.Dataloader(rows, 2, "default")])
    executor = ht.Executor([ht.exp_op(x)], backend=backend)
    for start in (0, 2, 4):
        got = executor.run()[0].asnumpy()
        np.testing.assert_allclose(got, np.exp(rows[start : start + 2]), RTOL)


def test_missing_engines_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, _, logits, *_ = network()
    with pytest.raises(UsageError, match="no backend 'tvm'; there are 'onnxruntime', 'openvino'"):
        ht.Executor([logits], backend="tvm")
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not there
    with pytest.raises(UsageError, match="pip install openvino"):
        ht.Executor([logits], backend="openvino").run(feed_dict={"x": batch(1)[0]})


def test_compiled_training_is_uncompiled_training() -> None:
    losses = []
    for compiles in (False, True):
        x, target, _, _, logits, loss, train = network()
        executor = ht.Executor({"train": [loss, train], "infer": [logits]}, compile=compiles)
        feeds = dict(zip((x, target), batch(5), strict=True))
        steps = [executor.run("train", feed_dict=feeds)[0].asnumpy() for _ in range(5)]
        losses.append([*steps, *executor.run("infer", feed_dict={x: batch(5)[0]})[0].asnumpy()])
    for plain, compiled in zip(*losses, strict=True):
        np.testing.assert_allclose(compiled, plain, RTOL, ATOL)


def test_errors_in_compiled_graphs_name_the_node() -> None:
    model = ht.onnx.load_onnx(onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> '
        "g (float[n] x, int64[k] i) => (float[k] y) { e = Exp(x) y = Gather(e, i) }"
    ))  # fmt: skip
    (x, i), y = model.inputs.values(), model["y"]
    executor = ht.Executor([y], compile=True)
    feeds = {x: np.zeros(3, np.float32), i: np.array([1, 2])}
    np.testing.assert_array_equal(executor.run(feed_dict=feeds)[0].asnumpy(), [1, 1])
    with pytest.raises(RunError, match="Gather-17 'y' on "):
        executor.run(feed_dict=feeds | {i: np.array([1, 9])})
    x = ht.placeholder_op("x")
    with pytest.raises(RunError, match="MatMul"):
        ht.Executor([ht.matmul_op(x, x)], compile=True).run(feed_dict={x: np.ones((2, 3), "f")})


def test_without_compiler_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, _, logits, *_ = network()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    with pytest.raises(UnsupportedError, match="needs a C.. compiler"):
        ht.Executor([ht.exp_op(logits)], compile=True).run(feed_dict={"x": batch(7)[0]})
