"""Gradient of ai.onnx.preview.training: d y / d xs, at the graph's own values and at others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import parser

import hetu as ht
from hetu.errors import ModelError
from tests.support.compare import assert_same_model

HEADER = """<ir_version: 8, opset_import: ["" : 17, "ai.onnx.preview.training" : 1, "f" : 1]>"""
X, W = np.float32([[1, -2]]), np.float32([[0.5], [3]])


def run(text: str, *feeds: Any, tmp_path: Path | None = None) -> list[np.ndarray]:
    """The model's outputs; the model also goes out as it came in."""
    proto = parser.parse_model(HEADER + text)
    model = ht.onnx.load_onnx(proto)
    outputs = list(model.outputs.values())
    executor = ht.Executor(outputs)
    if tmp_path is not None:
        inputs = list(model.inputs.values())
        assert_same_model(ht.onnx.export(executor, inputs, outputs, tmp_path / "m.onnx"), proto)
    named = dict(zip(model.inputs, feeds, strict=True))
    return executor.run(feed_dict=named, convert_to_numpy_ret_vals=True)


def test_at_the_values_of_the_graph(tmp_path: Path) -> None:
    """d (x w)^2 / dw = 2 (x w) x, where y is needed by nothing else."""
    text = """
    g (float[1,2] x, float[2,1] w) => (float[2,1] dw) {
        p = MatMul (x, w)
        y = Mul (p, p)
        dw = ai.onnx.preview.training.Gradient <xs = ["w"], zs = ["x"], y = "y"> (w, x)
    }"""
    np.testing.assert_allclose(run(text, X, W, tmp_path=tmp_path)[0], 2 * (X @ W) * X.T)


def test_at_other_values(tmp_path: Path) -> None:
    """One value may be given for several names; what is not named keeps its value."""
    text = """
    g (float[1,2] x, float[2,1] w, float[2,1] v, float[1,1] k) => (float[1,2] dx, float[1,1] dk) {
        p = MatMul (x, w)
        q = Mul (p, k)
        y = Add (q, k)
        dx, dk = ai.onnx.preview.training.Gradient <xs = ["x", "k"], zs = ["w"], y = "y"> (x, k, v)
    }"""
    v, k = np.float32([[-1], [4]]), np.float32([[2]])
    dx, dk = run(text, X, W, v, k, tmp_path=tmp_path)
    np.testing.assert_allclose(dx, k * v.T)
    np.testing.assert_allclose(dk, X @ v + 1)
    text = """
    g (float a, float b) => (float da, float db) {
        y = Mul (a, b)
        da, db = ai.onnx.preview.training.Gradient <xs = ["a", "b"], y = "y"> (a, a)
    }"""
    assert run(text, np.float32(3), np.float32(5)) == [3, 3]


def test_of_an_intermediate_value_and_without_an_output() -> None:
    text = """
    g (float a, float b) => (float dh) {
        h = Mul (a, b)
        y = Mul (h, b)
        , dh = ai.onnx.preview.training.Gradient <xs = ["b", "h"], y = "y"> (b, h)
    }"""
    assert run(text, np.float32(3), np.float32(5)) == [5]


def test_of_a_gradient(tmp_path: Path) -> None:
    text = """
    g (float x) => (float d1, float d2, float d3) {
        s = Mul (x, x)
        y = Mul (s, x)
        d1 = ai.onnx.preview.training.Gradient <xs = ["x"], y = "y"> (x)
        d2 = ai.onnx.preview.training.Gradient <xs = ["x"], y = "d1"> (x)
        d3 = ai.onnx.preview.training.Gradient <xs = ["x"], y = "d2"> (x)
    }"""
    assert run(text, np.float32(2), tmp_path=tmp_path) == [12, 12, 6]


def test_of_a_gradient_at_another_value() -> None:
    text = """
    g (float x, float v) => (float d2) {
        s = Mul (x, x)
        y = Mul (s, x)
        d1 = ai.onnx.preview.training.Gradient <xs = ["x"], y = "y"> (x)
        d2 = ai.onnx.preview.training.Gradient <xs = ["x"], y = "d1"> (v)
    }"""
    assert run(text, np.float32(2), np.float32(7)) == [42]


def test_draws_nothing_anew() -> None:
    """d (x * noise) / dx is the noise that y has."""
    text = """
    g (float[4] x) => (float[4] y, float[4] dx) {
        noise = RandomNormalLike (x)
        y = Mul (x, noise)
        dx = ai.onnx.preview.training.Gradient <xs = ["x"], y = "y"> (x)
    }"""
    y, dx = run(text, np.ones(4, np.float32))
    np.testing.assert_array_equal(y, dx)


def test_in_a_function_and_in_a_loop(tmp_path: Path) -> None:
    """Newton's steps: x - f(x) / f'(x), with f in the loop's body and its step in a function."""
    text = """
    g (int64 trips, float start, float square) => (float root) {
        root = Loop <body = step (int64 i, bool going, float before) => (bool on, float after) {
            on = Identity (going)
            after = f.newton (before, square)
        }> (trips, , start)
    }
    <domain: "f", opset_import: ["" : 17, "ai.onnx.preview.training" : 1]>
    newton (x, c) => (z) {
        s = Mul (x, x)
        y = Sub (s, c)
        dx = ai.onnx.preview.training.Gradient <xs = ["x"], zs = ["c"], y = "y"> (x, c)
        q = Div (y, dx)
        z = Sub (x, q)
    }"""
    feeds = np.asarray(6), np.float32(1), np.float32(2)
    np.testing.assert_allclose(run(text, *feeds, tmp_path=tmp_path)[0], np.sqrt(2), rtol=1e-6)
    model = ht.onnx.load_onnx(parser.parse_model(HEADER + text))
    (gradient,) = ht.gradients(model["root"], [model["square"]])
    named = dict(zip(model.inputs, feeds, strict=True))
    (d,) = ht.Executor([gradient]).run(feed_dict=named, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(d, 0.5 / np.sqrt(2), rtol=1e-5)


def test_training_goes_through_it() -> None:
    """A gradient penalty: the loss is (d y / d x)^2 for y = w^3 x, hence 6 w^5 by w."""
    text = """
    g (float[1] x) => (float[1] dx) <float[1] w = {2}> {
        s = Mul (w, w)
        c = Mul (s, w)
        y = Mul (c, x)
        dx = ai.onnx.preview.training.Gradient <xs = ["x"], y = "y"> (x)
    }"""
    model = ht.onnx.load_onnx(parser.parse_model(HEADER + text))
    loss = ht.reduce_sum_op(model["dx"] * model["dx"], [0])
    executor = ht.Executor({"train": [loss, ht.optim.SGDOptimizer(0.01).minimize(loss)]})
    (before, _) = executor.run("train", feed_dict={"x": [5]}, convert_to_numpy_ret_vals=True)
    assert before == 64
    np.testing.assert_allclose(executor.state_dict()["w"], 2 - 0.01 * 6 * 2**5, rtol=1e-6)


@pytest.mark.parametrize(
    "gradient",
    ['<xs = ["x"], y = "y"> (x, x)', '<xs = ["x"]> (x)', '<xs = ["x", "x"], y = "y"> (x)'],
)
def test_wrong_counts(gradient: str) -> None:
    text = f"""g (float x) => (float d) {{
        y = Mul (x, x)
        d = ai.onnx.preview.training.Gradient {gradient}
    }}"""
    with pytest.raises(ModelError, match="one input for each"):
        ht.onnx.load_onnx(parser.parse_model(HEADER + text))


def test_names_that_nothing_has() -> None:
    text = """g (float x) => (float d) {
        d = ai.onnx.preview.training.Gradient <xs = ["x"], y = "gone"> (x) }"""
    with pytest.raises(ModelError, match="'gone'"):
        ht.onnx.load_onnx(parser.parse_model(HEADER + text))


def test_a_target_that_stands_after_it() -> None:
    proto = parser.parse_model(
        HEADER
        + """
    g (float x) => (float d) {
        y = Mul (x, x)
        d = ai.onnx.preview.training.Gradient <xs = ["x"], y = "y"> (x)
    }"""
    )
    first, second = proto.graph.node
    del proto.graph.node[:]
    proto.graph.node.extend([second, first])
    model = ht.onnx.load_onnx(proto)
    (d,) = ht.Executor([model["d"]]).run(feed_dict={"x": 4.0}, convert_to_numpy_ret_vals=True)
    assert d == 8
