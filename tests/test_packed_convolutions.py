"""Convolutions of sequences and transposed ones on packed weights: ONNX Runtime's results."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import hetu as ht
from hetu import onednn

CHANNELS = 4


@pytest.fixture(autouse=True, params=["library", "torch"])
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN in its own library, and in torch."""
    if request.param == "torch":
        monkeypatch.setattr(onednn, "is_available", lambda: False)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def model(
    op_type: str, weight: np.ndarray, bias: bool, rank: int, then: str = "", **attributes: Any
) -> onnx.ModelProto:
    """The operator on an input of `rank` spatial axes, and an activation after it."""
    outputs = weight.shape[0] if op_type == "Conv" else weight.shape[1] * attributes["group"]
    names = ["x", "w", "b"] if bias else ["x", "w"]
    nodes = [helper.make_node(op_type, names, ["y" if not then else "z"], **attributes)]
    if then:
        nodes.append(helper.make_node(then, ["z"], ["y"]))
    arrays = {"w": weight, "b": random(outputs)}
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * (2 + rank))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(arrays[name], name) for name in names[1:]],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def check(proto: onnx.ModelProto, shape: tuple[int, ...], fusion: str) -> list[str]:
    """Results agree; the reasons for which the fusion left nodes, "" where it did not."""
    x = random(*shape)
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    loaded = ht.onnx.load_onnx(proto)
    executor = ht.Executor(list(loaded.outputs.values()))
    for _ in range(2):
        (actual,) = executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
        np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
    return [note.reason for note in executor.explain() if note.fusion == fusion]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("then", ["", "Relu", "Tanh", "HardSigmoid"])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"pads": [2, 2]},
        {"pads": [4, 0], "dilations": [2]},
        {"strides": [2], "auto_pad": "SAME_UPPER"},
        {"group": 2, "strides": [3]},
        {"group": CHANNELS, "pads": [1, 2]},
    ],
)
def test_sequences(attributes: dict[str, Any], then: str, bias: bool) -> None:
    weight = random(8, CHANNELS // attributes.get("group", 1), 3)
    proto = model("Conv", weight, bias, 1, then, **attributes)
    for shape in ((1, CHANNELS, 9), (3, CHANNELS, 12)):
        assert check(proto, shape, "convolution") == [""]


def test_a_residual_of_sequences() -> None:
    proto = model("Conv", random(CHANNELS, CHANNELS, 3), True, 1, pads=[1, 1])
    proto.graph.node[0].output[0] = "z"
    proto.graph.node.append(helper.make_node("Add", ["x", "z"], ["y"]))
    assert check(proto, (2, CHANNELS, 9), "convolution plus") == [""]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_single_pixels(rank: int, bias: bool) -> None:
    """Where calls of oneDNN cost more than of BLAS, they are products."""
    proto = model("Conv", random(6, CHANNELS, *(1,) * rank), bias, rank, "Relu", strides=[2] * rank)
    shape = (3, CHANNELS, *(1,) * rank)
    assert check(proto, shape, "single pixel") == [""] * (not onednn.is_available())


@pytest.mark.parametrize(
    ("kernel", "size", "attributes"),
    [
        ((1, 1), (1, 2), {}),
        ((3, 3), (1, 1), {"pads": [1, 1, 1, 1]}),
        ((1, 1), (1, 1), {"group": 2}),
        ((1, 1), (1, 1), {"pads": [0, 0, 0, 1]}),
        ((2, 2), (2, 2), {}),
    ],
)
def test_what_is_no_single_pixel(
    kernel: tuple[int, ...], size: tuple[int, ...], attributes: dict[str, Any]
) -> None:
    weight = random(6, CHANNELS // attributes.get("group", 1), *kernel)
    proto = model("Conv", weight, True, 2, **attributes)
    assert check(proto, (3, CHANNELS, *size), "single pixel") == []


def test_gradients_of_single_pixels() -> None:
    x = ht.Variable(name="x", value=random(3, CHANNELS, 1, 1))
    w = ht.Variable(name="w", value=random(6, CHANNELS, 1, 1))
    y = ht.op.Conv(x, w)
    executor = ht.Executor([y, *ht.gradients(y * y, [x, w])])
    found = executor.run(convert_to_numpy_ret_vals=True)
    rows, matrix = random(3, CHANNELS, 1, 1)[..., 0, 0], random(6, CHANNELS, 1, 1)[..., 0, 0]
    result = rows @ matrix.T
    expected = [result, 2 * result @ matrix, 2 * result.T @ rows]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one[..., 0, 0], other, rtol=1e-5)
    assert [note.fusion for note in executor.explain() if not note.reason] == ["single pixel"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("then", ["", "Relu", "Sigmoid"])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"strides": [2, 3], "output_padding": [1, 2]},
        {"strides": [2, 2], "pads": [1, 0, 1, 0], "output_padding": [1, 0], "group": 2},
        {"dilations": [2, 1], "pads": [2, 1, 2, 1]},
        {"group": CHANNELS, "strides": [2, 1]},
        {"strides": [2, 2], "output_shape": [11, 9]},
    ],
)
def test_transposed(attributes: dict[str, Any], then: str, bias: bool) -> None:
    attributes = {"group": 1, **attributes}
    weight = random(CHANNELS, 6 // attributes["group"] if attributes["group"] < 3 else 2, 3, 3)
    proto = model("ConvTranspose", weight, bias, 2, then, **attributes)
    assert check(proto, (2, CHANNELS, 5, 4), "transposed convolution") == [""]


@pytest.mark.parametrize("attributes", [{}, {"strides": [2], "pads": [1, 1], "group": 2}])
def test_transposed_sequences(attributes: dict[str, Any]) -> None:
    attributes = {"group": 1, **attributes}
    weight = random(CHANNELS, 6 // attributes["group"], 4)
    proto = model("ConvTranspose", weight, True, 1, "Relu", **attributes)
    assert check(proto, (2, CHANNELS, 7), "transposed convolution") == [""]


@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 0, 0, 1], "strides": [2, 2]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ],
)
def test_transposed_as_onednn_does_not(attributes: dict[str, Any]) -> None:
    proto = model("ConvTranspose", random(CHANNELS, 6, 3, 3), True, 2, group=1, **attributes)
    (reason,) = check(proto, (2, CHANNELS, 5, 4), "transposed convolution")
    assert "cut or padded" in reason


def test_weights_that_are_fed() -> None:
    """What the model does not know before it runs is not packed."""
    proto = model("ConvTranspose", random(CHANNELS, 6, 3, 3), False, 2, group=1)
    proto.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [None] * 4))
    weight = numpy_helper.to_array(proto.graph.initializer.pop())
    feeds = {"x": random(2, CHANNELS, 5, 4), "w": weight}
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, feeds)
    executor = ht.Executor(list(ht.onnx.load_onnx(proto).outputs.values()))
    (actual,) = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(actual, wanted, rtol=1e-4, atol=1e-5)
    assert not [note for note in executor.explain() if note.fusion == "transposed convolution"]


STANDARDIZED = {
    "by batch normalization": """
        both = Constant<value_ints = [0, 2]>()
        m = ReduceMean<keepdims = 0>(flat, both) v = ReduceMean<keepdims = 0>(square, both)
        n = BatchNormalization(flat, ones, zeros, m, v)
    """,
    "by hand": """
        v = ReduceMean<keepdims = 1>(square, axes) e = Constant<value = float {1e-5}>()
        t = Add(v, e) s = Sqrt(t) n = Div(centered, s)
    """,
}


@pytest.mark.parametrize("how", STANDARDIZED)
def test_standardized_weights(how: str) -> None:
    """What weights alone decide is computed once, and the convolution is packed."""
    text = f"""<ir_version: 9, opset_import: ["" : 18]>
    g (float[N, 4, H, W] x) => (float[N, 6, a, b] y) {{
        into = Constant<value_ints = [1, 6, -1]>() back = Constant<value_ints = [6, 4, 3, 3]>()
        axes = Constant<value_ints = [2]>() flat = Reshape(w, into)
        mean = ReduceMean<keepdims = 1>(flat, axes) centered = Sub(flat, mean)
        square = Mul(centered, centered) {STANDARDIZED[how]}
        weight = Reshape(n, back) y = Conv(x, weight)
    }}"""
    proto = onnx.parser.parse_model(text)
    weights = {"w": random(6, 4, 3, 3), "ones": np.ones(6, "f"), "zeros": np.zeros(6, "f")}
    used = weights if "Batch" in text else {"w": weights["w"]}
    proto.graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in used.items())
    assert check(proto, (2, 4, 7, 6), "convolution") == [""]
