"""Norms of groups and of rows, and single positions, as exporters spell them."""

import re
from functools import partial

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import hetu as ht
from tests.test_fusions import check, fused, load, normal, reasons


def used(text: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names a body has."""
    words = set(re.findall(r"\w+", text))
    return {name: array for name, array in arrays.items() if name in words}


GROUPED = """
    into = Constant<value_ints = [0, 2, -1]>() back = Constant<value_ints = [3, 6, 4, 5]>()
    flat = Reshape(x, into) n = InstanceNormalization<epsilon = 0.01>(flat, s, t)
    g = Reshape(n, back)
"""
CONSTANTS = """
    s = Constant<value_floats = [1.0, 1.0]>() t = Constant<value_floats = [0.0, 0.0]>()
"""


@pytest.mark.parametrize("parameters", ["constant", "given", "computed"])
@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("y = Relu(g)", 0),
        ("m = Mul(g, w) y = Add(m, b)", 2),
        ("m = Mul(w, g) y = Add(b, m)", 2),
        ("m = Add(g, b) y = Mul(m, w)", 2),
        ("m = Mul(g, w) p = Add(m, b) q = Mul(p, w) y = Relu(q)", 3),
        ("m = Mul(g, w) y = Add(m, x)", 1),
        ("m = Mul(g, last) y = Relu(m)", 0),
        ("m = Mul(g, w) y = Add(m, g)", 0),
    ],
)
def test_group_norms(body: str, count: int, parameters: str) -> None:
    before = {"constant": CONSTANTS, "given": "", "computed": "s = Exp(u) t = Identity(u)"}
    text = before[parameters] + GROUPED + body
    arrays = {
        "w": normal(6, 1, 1), "b": normal(1, 6, 1, 1, seed=1), "last": normal(5),
        "s": normal(2, seed=2), "t": normal(2, seed=3),
    }  # fmt: skip
    weights = used(text, arrays)
    if parameters != "given":
        weights = {name: array for name, array in weights.items() if name not in "st"}
    inputs, feeds = "float[3, 6, 4, 5] x", {"x": normal(3, 6, 4, 5)}
    if parameters == "computed":
        inputs, feeds["u"] = f"{inputs}, float[2] u", normal(2)
    notes = check(lambda: load(text, inputs, "float[3, 6, 4, 5] y", **weights), feeds)
    assert fused(notes, "group norm") == 1
    assert fused(notes, "group norm affine") == count


@pytest.mark.parametrize(
    ("into", "back"),
    [("[0, 3, -1]", "[3, 4, 6, 5]"), ("[0, 0, -1]", "[3, 6, 20]"), ("[6, 3, -1]", "[3, 6, 4, 5]")],
)
def test_what_is_no_group_norm(into: str, back: str) -> None:
    shape = back.strip("[]")
    body = f"""
        into = Constant<value_ints = {into}>() back = Constant<value_ints = {back}>()
        flat = Reshape(x, into) n = InstanceNormalization(flat, s, t) y = Reshape(n, back)
    """
    groups = 6 if "0, 0" in into else 3
    weights = {"s": normal(groups), "t": normal(groups, seed=1)}
    notes = check(
        lambda: load(body, "float[3, 6, 4, 5] x", f"float[{shape}] y", **weights),
        {"x": normal(3, 6, 4, 5)},
    )
    assert not fused(notes, "group norm")


def test_a_norm_that_is_used_twice() -> None:
    weights = {"s": normal(2), "t": normal(2, seed=1)}
    text = GROUPED + "e = Exp(n) total = ReduceSum<keepdims = 0>(e) y = Mul(g, total)"
    notes = check(
        lambda: load(text, "float[3, 6, 4, 5] x", "float[3, 6, 4, 5] y", **weights),
        {"x": normal(3, 6, 4, 5)},
    )
    assert "elsewhere" in reasons(notes, "group norm")[0]


NORM = "y = BatchNormalization<epsilon = 0.01>(r, scale, shift, mean, variance)"
VECTORS = {
    "scale": normal(5), "shift": normal(5, seed=1), "mean": normal(5, seed=2),
    "variance": normal(5, seed=3) ** 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "rank", "is_fused"),
    [
        (f"r = MatMul(x, w) {NORM}", 2, True),
        (f"m = MatMul(x, w) r = Add(b, m) {NORM}", 2, True),
        (f"m = MatMul(x, w) r = Reshape(m, into) {NORM}", 3, True),
        (f"m = MatMul(x, w) a = Add(m, b) r = Reshape(a, into) {NORM}", 3, True),
        (f"r = Gemm(x, w, b) {NORM}", 2, True),
        (f"r = Gemm<transB = 1>(x, wt, b) {NORM}", 2, True),
        (f"g = Gemm(x, w) r = Add(g, b) {NORM}", 2, True),
        (f"r = Gemm<alpha = 2.0>(x, w, b) {NORM}", 2, False),
        (f"r = MatMul(x, w) {NORM}", 3, False),
        (f"m = MatMul(x, w) r = Reshape(m, apart) {NORM}", 3, False),
        (f"m = MatMul(x, w) a = Add(m, rows) r = Reshape(a, into) {NORM}", 3, False),
    ],
)
def test_norms_of_rows(body: str, rank: int, is_fused: bool) -> None:
    arrays = {
        "w": normal(3, 5), "wt": normal(5, 3), "b": normal(5, seed=4), "rows": normal(5, 5),
        "into": np.array([-1, 5]), "apart": np.array([2, 5, 5]), **VECTORS,
    }  # fmt: skip
    shape = {2: "2, 3", 3: "2, 5, 3"}[rank]
    outputs = "float[2, 5, 5] y" if rank == 3 and "into" not in body else "float[N, 5] y"
    notes = check(
        lambda: load(body, f"float[{shape}] x", outputs, **used(body, arrays)),
        {"x": normal(*map(int, shape.split(", ")))},
    )
    assert fused(notes, "batch norm of rows") == is_fused


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 3), (2, 5, 3, 4), (2, 5, 2, 3, 2)])
@pytest.mark.parametrize("then", ["y = Identity(n)", "y = Relu(n)", "y = LeakyRelu(n)"])
def test_norms_after_nothing(shape: tuple[int, ...], then: str) -> None:
    """Behind an operator that cannot take them in, whatever the order in memory."""
    body = f"""
        r = Sin(x) {NORM.replace("y =", "n =")} {then}
    """
    size = ", ".join(map(str, shape))
    feeds = {"x": normal(*shape)}
    make = partial(load, body, f"float[{size}] x", f"float[{size}] y", **VECTORS)
    assert fused(check(make, feeds), "lone batch norm") == 1
    model = make()
    executor = ht.Executor(list(model.outputs.values()))
    (expected,) = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(feeds["x"], 1, -1)), -1, 1)
    (actual,) = executor.run(feed_dict={"x": last}, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)


def test_a_norm_whose_scale_is_computed() -> None:
    body = f"r = Sin(x) scale = Exp(s) {NORM}"
    weights = {name: array for name, array in VECTORS.items() if name != "scale"}
    inputs = "float[2, 5, 3] x, float[5] s"
    notes = check(
        lambda: load(body, inputs, "float[2, 5, 3] y", **weights),
        {"x": normal(2, 5, 3), "s": normal(5)},
    )
    assert "computed" in reasons(notes, "lone batch norm")[0]


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("index", [0, 2, -1])
def test_one_position(axis: int, index: int) -> None:
    body = f"""
        i = Constant<value_int = {index}>() g = Gather<axis = {axis}>(x, i) y = Exp(g)
    """
    notes = check(lambda: load(body, "float[3, 4, 5] x", "float[a, b] y"), {"x": normal(3, 4, 5)})
    assert fused(notes, "select") == 1


def test_several_positions() -> None:
    body = "i = Constant<value_ints = [1]>() g = Gather(x, i) y = Exp(g)"
    notes = check(lambda: load(body, "float[3, 4] x", "float[1, 4] y"), {"x": normal(3, 4)})
    assert not fused(notes, "select")


@pytest.mark.parametrize(("axis", "index"), [(2, 0), (-3, 0), (0, 3), (0, -4)])
def test_no_such_position(axis: int, index: int) -> None:
    """The error is that of the node, as without optimization."""
    x = ht.Variable(name="x", dtype="float32")
    y = ht.op.Gather(x, ht.constant(np.int64(index)), axis=axis)
    for optimize in (True, False):
        with pytest.raises(ht.HetuError, match="Gather"):
            ht.Executor([y], optimize=optimize).run(feed_dict={x: normal(3, 4)})


@pytest.mark.parametrize("length", [1500, 60])
@pytest.mark.parametrize(
    "norm",
    ["InstanceNormalization<epsilon = 0.01>", "GroupNormalization<epsilon = 0.01, num_groups = 4>"],
)
def test_sequences_whose_channels_lie_side_by_side(norm: str, length: int) -> None:
    """As convolutions leave them."""
    proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[N, 3, L] x) => (float[N, 8, M] y) {{
        c = Conv(x, w) n = {norm}(c, s, t) y = Conv(n, v)
    }}""")
    random = np.random.default_rng(0)
    shapes = {"w": (8, 3, 5), "s": (8,), "t": (8,), "v": (8, 8, 1)}
    weights = {n: random.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    x = random.normal(size=(2, 3, length)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    for optimize in (True, False):
        executor = ht.Executor(list(ht.onnx.load_onnx(proto).outputs.values()), optimize=optimize)
        (result,) = executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True)
        np.testing.assert_allclose(result, wanted, rtol=1e-3, atol=1e-4)
