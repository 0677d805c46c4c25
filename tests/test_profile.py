"""Time and memory of each node."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import hetu as ht
from hetu.errors import RunError, UsageError
from hetu.runtime.profile import Profile

RANDOM = np.random.default_rng(0)
ROUNDING = 1e-6
"""Seconds: the trace holds times in thousandths of microseconds, and sums have some ten of them."""


def check_times(profile: Profile) -> None:
    assert 0 < profile.fastest <= profile.seconds
    for node in profile.nodes:
        assert 0 <= node.fastest <= node.seconds
        assert node.share == pytest.approx(node.seconds / profile.seconds)
    assert sum(node.seconds for node in profile.nodes) <= profile.seconds + ROUNDING
    assert sum(node.fastest for node in profile.nodes) <= profile.fastest + ROUNDING


def names(profile: Profile) -> list[str]:
    return [node.name for node in profile.nodes]


def load(text: str) -> ht.onnx.LoadedModel:
    return ht.onnx.load_onnx(onnx.parser.parse_model(text))


def image_model() -> ht.onnx.LoadedModel:
    proto = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[n, 3, 8, 8] x) => (float[n, 5] y) {
            c = Conv<pads=[1, 1, 1, 1]>(x, w)
            r = Relu(c)
            p = GlobalAveragePool(r)
            y = Flatten(p)
        }""")
    weight = RANDOM.standard_normal((5, 3, 3, 3), np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    for node, name in zip(proto.graph.node, ("same", "same", 'quo"te\\', ""), strict=True):
        node.name = name
    return ht.onnx.load_onnx(proto)


def test_every_node_of_the_plan_appears_once(tmp_path: Path) -> None:
    x, y = image_model()
    executor = ht.Executor([y], optimize=False)
    images = RANDOM.standard_normal((4, 3, 8, 8), np.float32)
    before = executor.run(feed_dict={x: images})[0].asnumpy()
    profile = executor.profile(feed_dict={x: images}, runs=3)
    assert names(profile) == ["same", "same_1", 'quo"te\\', "y"]
    operators = ["Conv", "Relu", "GlobalAveragePool", "Flatten"]
    assert [node.operator for node in profile.nodes] == operators
    shapes = [(4, 5, 8, 8), (4, 5, 8, 8), (4, 5, 1, 1), (4, 5)]
    assert [node.shapes for node in profile.nodes] == [(shape,) for shape in shapes]
    assert [node.nbytes for node in profile.nodes] == [4 * int(np.prod(s)) for s in shapes]
    assert [node.calls for node in profile.nodes] == [1, 1, 1, 1]
    check_times(profile)
    profile.save(tmp_path / "trace.json")
    trace = json.loads((tmp_path / "trace.json").read_bytes())
    shown = [event["name"] for event in trace["traceEvents"] if event.get("ph") == "X"]
    assert all(shown.count(name) == 3 for name in names(profile))
    np.testing.assert_array_equal(executor.run(feed_dict={x: images})[0].asnumpy(), before)


def test_fused_nodes_bear_the_names_of_their_outputs() -> None:
    x, y = image_model()
    executor = ht.Executor([y])
    profile = executor.profile(feed_dict={x: RANDOM.standard_normal((2, 3, 8, 8), np.float32)})
    assert profile.nodes[0].name == "r"
    assert profile.nodes[0].operator.startswith("hetu.fused.")
    assert len(profile.nodes) == 3


@pytest.mark.parametrize("with_rich", [True, False])
def test_tables(with_rich: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_rich:
        monkeypatch.setitem(sys.modules, "rich", None)
        monkeypatch.setattr("hetu.tables.find_spec", lambda _: None)
    x = ht.placeholder_op("x")
    y = ht.matmul_op(ht.relu_op(ht.relu_op(x)), ht.Variable("w", value=np.eye(3, dtype="f")))
    executor = ht.Executor([y], optimize=False)
    profile = executor.profile(feed_dict={x: np.ones((2, 3), np.float32)})
    text = str(profile)
    assert ("━" in text) == with_rich
    assert text.count("[2, 3]") == 3
    assert all(name in text for name in names(profile))
    assert "10 runs of" in text
    assert profile.table(1).count("[2, 3]") == 1
    totals = {total.operator: total for total in profile.by_operator()}
    assert totals.keys() == {"Relu", "MatMul"}
    assert (totals["Relu"].count, totals["Relu"].nbytes) == (2, 48)
    assert totals["Relu"].seconds == sum(n.seconds for n in profile.nodes if n.operator == "Relu")


def training() -> tuple[ht.Executor, dict]:
    x, labels = ht.placeholder_op("x"), ht.Variable(name="labels", dtype="int64")
    weight = ht.Variable("w", value=np.ones((4, 3, 3, 3), np.float32))
    scale, bias = (ht.Variable(n, value=np.full(4, v, np.float32)) for n, v in (("s", 1), ("b", 0)))
    y = ht.dropout_op(ht.batch_normalization_op(ht.conv2d_op(x, weight), scale, bias), 0.5)
    logits = ht.reduce_mean_op(y, [2, 3])
    loss = ht.reduce_mean_op(ht.softmaxcrossentropy_sparse_op(logits, labels), [0])
    executor = ht.Executor([loss, ht.optim.AdamOptimizer(0.1).minimize(loss)], seed=3)
    random = np.random.default_rng(1)
    images = random.standard_normal((8, 3, 10, 10), np.float32)
    return executor, {x: images, labels: random.integers(0, 4, 8)}


def test_training_is_measured_and_goes_on_as_if_nothing_had_run() -> None:
    losses, states = [], []
    for profiles in (False, True):
        executor, feeds = training()
        losses.append(executor.run(feed_dict=feeds)[0].asnumpy())
        if profiles:
            profile = executor.profile(feed_dict=feeds, runs=3)
            check_times(profile)
            by_operator = {total.operator: total for total in profile.by_operator()}
            gradient = by_operator["hetu.Gradient"]
            backward = sum(node.backward_seconds for node in profile.nodes)
            assert 0 < by_operator["Conv"].backward_seconds < backward < gradient.seconds
            (norm,) = (total for name, total in by_operator.items() if "BatchNorm" in name)
            assert norm.backward_seconds > 0
        losses.append(executor.run(feed_dict=feeds)[0].asnumpy())
        states.append(executor.state_dict())
    assert losses[:2] == losses[2:]
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value)


def test_nodes_in_loops_are_measured_by_themselves() -> None:
    model = load("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[k] x, int64 n) => (float[k] y) {
            yes = Constant<value = bool {1}>()
            y = Loop(n, yes, x) <body = b (int64 i, bool c, float[k] a) => (bool d, float[k] e) {
                d = Identity(c)
                e = Exp(a)
            }>
        }""")  # fmt: skip
    x, n = model.inputs.values()
    executor = ht.Executor(list(model.outputs.values()), optimize=False)
    feeds = {x: np.zeros(1 << 16, np.float32), n: np.array(5)}
    profile = executor.profile(feed_dict=feeds, runs=2)
    check_times(profile)
    nodes = {node.operator: node for node in profile.nodes}
    assert nodes["Exp"].calls == 5
    assert nodes["Loop"].shapes == nodes["Exp"].shapes == ((1 << 16,),)
    assert executor.profile(feed_dict=feeds | {n: np.array(0)}).nodes[-1].calls == 0


def test_peak_memory() -> None:
    x = ht.placeholder_op("x")
    y = ht.reduce_sum_op(ht.exp_op(ht.exp_op(ht.exp_op(x))), [0, 1])
    executor = ht.Executor([y], optimize=False)
    profile = executor.profile(feed_dict={x: np.zeros((1000, 250), np.float32)})
    assert 2_000_000 <= profile.peak_nbytes < 2_010_000  # two of the arrays, and the sum


def test_wrong_calls() -> None:
    x = ht.placeholder_op("x")
    executor = ht.Executor({"a": [ht.matmul_op(x, x)]}, backend="onnxruntime")
    with pytest.raises(UsageError, match="leave out backend="):
        executor.profile("a", feed_dict={x: np.ones((2, 2), np.float32)})
    executor = ht.Executor({"a": [ht.matmul_op(x, x)]})
    with pytest.raises(UsageError, match="no subgraph 'b'; it has 'a'"):
        executor.profile("b")
    with pytest.raises(UsageError, match="at least 1, not 0"):
        executor.profile("a", runs=0)
    with pytest.raises(UsageError, match="'x'.*not fed"):
        executor.profile("a")
    with pytest.raises(RunError, match="MatMul"):
        executor.profile("a", feed_dict={x: np.ones((2, 3), np.float32)})
