"""Pools of images by oneDNN's library: ONNX Runtime's results."""

from itertools import product
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import hetu as ht
from hetu import onednn
from hetu.ir import graph_of as graph_of_values
from hetu.passes.facts import Facts
from hetu.passes.fusion import fuse
from hetu.passes.fusions import STAGES
from hetu.types import FLOAT32, TensorType
from tests.test_replay import Pair, graph_of, random

CHANNELS = 5

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library is not there")


def model(op_type: str, rank: int, after_convolution: bool, **attributes: Any) -> onnx.ModelProto:
    """A pool of images, or of what a convolution makes of them, whose channels lie together."""
    weight = np.random.default_rng(rank).normal(size=(CHANNELS, CHANNELS, *(1,) * rank))
    nodes = [helper.make_node(op_type, ["z" if after_convolution else "x"], ["y"], **attributes)]
    if after_convolution:
        nodes.insert(0, helper.make_node("Conv", ["x", "w"], ["z"]))
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * (2 + rank))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.astype(np.float32), "w")] if after_convolution else [],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def check(proto: onnx.ModelProto, shape: tuple[int, ...], fusion: str) -> list[str]:
    """Results agree; the reasons for which the fusion left nodes, "" where it did not."""
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    executor = ht.Executor(list(ht.onnx.load_onnx(proto).outputs.values()))
    for _ in range(2):
        (actual,) = executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
        np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-6)
    return [note.reason for note in executor.explain() if note.fusion == fusion]


WINDOWS: list[dict[str, Any]] = [
    {},
    {"strides": 2},
    {"strides": 2, "ceil_mode": 1},
    {"strides": 2, "begin": 1, "end": 1},
    {"begin": 0, "end": 1},
    {"strides": 2, "auto_pad": "SAME_UPPER"},
    {"strides": 2, "auto_pad": "SAME_LOWER"},
    {"strides": 3, "begin": 1, "end": 1, "ceil_mode": 1},
]


def attributes_of(windows: dict[str, Any], rank: int) -> dict[str, Any]:
    given: dict[str, Any] = {"kernel_shape": [3] * rank}
    if "strides" in windows:
        given["strides"] = [windows["strides"]] * rank
    if "begin" in windows:
        given["pads"] = [windows["begin"]] * rank + [windows["end"]] * rank
    return given | {n: windows[n] for n in ("auto_pad", "ceil_mode") if n in windows}


@pytest.mark.parametrize("after_convolution", [True, False])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("windows", WINDOWS)
def test_maxima(windows: dict[str, Any], rank: int, after_convolution: bool) -> None:
    proto = model("MaxPool", rank, after_convolution, **attributes_of(windows, rank))
    for size in (8, 9):
        assert check(proto, (2, CHANNELS, *(size,) * rank), "pool") == [""]


@pytest.mark.parametrize("after_convolution", [True, False])
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("counts_padding", [0, 1])
@pytest.mark.parametrize("windows", [w for w in WINDOWS if "ceil_mode" not in w])
def test_averages(
    windows: dict[str, Any], counts_padding: int, rank: int, after_convolution: bool
) -> None:
    given = attributes_of(windows, rank) | {"count_include_pad": counts_padding}
    proto = model("AveragePool", rank, after_convolution, **given)
    for size in (8, 9):
        assert check(proto, (2, CHANNELS, *(size,) * rank), "pool") == [""]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_averages_of_windows_that_reach_beyond_the_image(rank: int) -> None:
    given = attributes_of({"strides": 2, "ceil_mode": 1}, rank)
    proto = model("AveragePool", rank, True, **given)
    assert check(proto, (2, CHANNELS, *(8,) * rank), "pool") == [""]


@pytest.mark.parametrize("after_convolution", [True, False])
@pytest.mark.parametrize("rank", [2, 3])
def test_averages_of_whole_images(rank: int, after_convolution: bool) -> None:
    for proto in (
        model("GlobalAveragePool", rank, after_convolution),
        model("ReduceMean", rank, after_convolution),
    ):
        if proto.graph.node[-1].op_type == "ReduceMean":
            axes = np.arange(2, 2 + rank)
            proto.graph.initializer.append(numpy_helper.from_array(axes, "axes"))
            proto.graph.node[-1].input.append("axes")
        assert check(proto, (2, CHANNELS, *(7,) * rank), "global average") == [""]


@pytest.mark.parametrize("after_convolution", [True, False])
def test_averages_of_whole_sequences(after_convolution: bool) -> None:
    proto = model("GlobalAveragePool", 1, after_convolution)
    assert check(proto, (2, CHANNELS, 7), "global average") == [""]


def test_means_of_rows() -> None:
    proto = model("ReduceMean", 1, True)
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2]), "axes"))
    proto.graph.node[-1].input.append("axes")
    assert check(proto, (2, CHANNELS, 7), "global average") == []


def test_pools_between_convolutions_of_sequences() -> None:
    """All of it is one recorded sequence."""
    nodes = """a = Conv x w ! pads=[1, 1]
    b = Relu a
    c = MaxPool b ! kernel_shape=[2], strides=[2]
    d = Conv c v
    e = Unsqueeze d axes
    y = ReduceMean e ! axes=[-2, -1]"""
    proto = graph_of(nodes, ["y"], w=random(8, 3, 3), v=random(8, 8, 3), axes=np.int64([2]))
    pair = Pair(proto)
    for seed in range(5):
        pair.check(random(2, 3, 20, seed=seed))
    assert pair.replays == 1


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [3, 3], "dilations": [2, 2]}),
        ("MaxPool", {"kernel_shape": [2, 2], "dilations": [1, 2]}),
        ("LpPool", {"kernel_shape": [2, 2]}),
    ],
)
def test_other_pools(op_type: str, attributes: dict[str, Any]) -> None:
    assert "" not in check(model(op_type, 2, True, **attributes), (1, CHANNELS, 8, 8), "pool")


def test_where_maxima_lie() -> None:
    proto = model("MaxPool", 2, True, kernel_shape=[2, 2])
    proto.graph.node[-1].output.append("places")
    assert "" not in check(proto, (1, CHANNELS, 8, 8), "pool")


def test_pools_in_a_compiled_graph() -> None:
    """torch.compile takes it whole: pools and large products stay torch's."""
    nodes = """a = Conv x w
    b = MaxPool a ! kernel_shape=[2, 2], strides=[2, 2]
    c = Flatten b
    d = MatMul c v
    y = Relu d"""
    proto = graph_of(nodes, ["y"], w=random(8, 3, 3, 3), v=random(8 * 15 * 15, 512) / 32)
    x = random(16, 3, 32, 32)
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    executor = ht.Executor(list(ht.onnx.load_onnx(proto).outputs.values()), compile=True)
    (actual,) = executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-4)
    assert {note.fusion for note in executor.explain()}.isdisjoint({"pool", "replay"})


@pytest.mark.parametrize("has_library", [True, False])
def test_pools_where_the_library_does_not_compute(has_library: bool) -> None:
    """On a GPU, pools are torch's."""
    x = ht.Variable(name="x", dtype="float32")
    graph = graph_of_values([ht.op.GlobalAveragePool(x)])
    facts = Facts(
        {x: TensorType(FLOAT32, (1, 3, 4, 4))}, is_inference=True, has_library=has_library
    )
    facts.state(graph.nodes[0].outputs[0], TensorType(FLOAT32, (1, 3, 1, 1)))
    fused, _ = fuse(graph, STAGES[-1], facts)
    assert [node.op_type for node in fused.nodes] == [
        "Pool" if has_library else "GlobalAveragePool"
    ]


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("counts_padding", [0, 1])
@pytest.mark.parametrize("windows", [w for w in WINDOWS if "ceil_mode" not in w])
def test_gradients_of_averages(windows: dict[str, Any], counts_padding: int, rank: int) -> None:
    """With and without passes, of images in either order."""
    given = attributes_of(windows, rank) | {"count_include_pad": counts_padding}
    feeds, results = {"x": random(2, CHANNELS, *(9,) * rank)}, []
    for after_convolution, optimize in product((False, True), repeat=2):
        (y,) = ht.onnx.load_onnx(
            model("AveragePool", rank, after_convolution, **given)
        ).outputs.values()
        (x,) = graph_of_values([y]).inputs
        gradients = ht.gradients(ht.op.ReduceSum(y * y * y, keepdims=False), [x])
        executor = ht.Executor([y, *gradients], optimize=optimize)
        results.append(executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True))
        notes = [n.reason for n in executor.explain() if n.fusion == "trained average"]
        assert notes == ([""] if optimize else [])
    for plain, fused in (results[:2], results[2:]):
        for one, other in zip(plain, fused, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_averages_that_are_differentiated_twice() -> None:
    (y,) = ht.onnx.load_onnx(model("AveragePool", 2, False, kernel_shape=[2, 2])).outputs.values()
    (x,) = graph_of_values([y]).inputs
    (first,) = ht.gradients(ht.op.ReduceSum(y * y * y, keepdims=False), [x])
    (second,) = ht.gradients(ht.op.ReduceSum(first * first, keepdims=False), [x])
    feeds = {"x": random(2, CHANNELS, 5, 6)}
    results = [
        ht.Executor([second], optimize=optimize).run(
            feed_dict=feeds, convert_to_numpy_ret_vals=True
        )[0]
        for optimize in (True, False)
    ]
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)
