"""Groups of nodes that become one: the same results and gradients, and near misses stay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser

import hetu as ht
from hetu.onnx import onnx2hetu
from tests.interop.zoo.cases import Case
from tests.interop.zoo.exporters import export

TOLERANCES = {
    "float": {"rtol": 1e-4, "atol": 1e-5},
    "double": {"rtol": 1e-10, "atol": 1e-12},
    "float16": {"rtol": 2e-2, "atol": 2e-2},
}
CODES = {"float": "1", "double": "11", "float16": "10"}
NUMPY = {"float": np.float32, "double": np.float64, "float16": np.float16}


def load(body: str, inputs: str, outputs: str, opset: int = 21, **weights: np.ndarray) -> Any:
    """The model of a body in ONNX's text form."""
    text = (
        f'<ir_version: 10, opset_import: ["" : {opset}]> g ({inputs}) => ({outputs}) {{ {body} }}'
    )
    model = parser.parse_model(text)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items()
    )
    onnx.checker.check_model(model)
    return onnx2hetu.load_onnx(model)


def run(make: Callable[[], Any], feeds: dict[str, np.ndarray], optimize: bool, **options: Any):
    """The results, then the gradients of their sums with respect to the float feeds."""
    model = make()
    outputs = list(model.outputs.values())
    floats = [model.inputs[name] for name, x in feeds.items() if x.dtype.kind == "f"]
    wanted = [*outputs, *ht.gradients(outputs[0] * outputs[0], floats)] if options else outputs
    executor = ht.Executor(wanted, optimize=optimize, inference=True)
    return executor, executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)


def check(
    make: Callable[[], Any], feeds: dict[str, np.ndarray], kind: str = "float", trains: bool = True
) -> Any:
    """Both ways agree; returns the notes of inference."""
    for options in ({}, {"gradients": True}) if trains else ({},):
        _, plain = run(make, feeds, False, **options)
        executor, fast = run(make, feeds, True, **options)
        for one, other in zip(plain, fast, strict=True):
            np.testing.assert_allclose(other, one, **TOLERANCES[kind])
        notes = executor.explain() if not options else notes  # noqa: F821
    return notes


def fused(notes: Any, name: str) -> int:
    return sum(note.fusion == name and not note.reason for note in notes)


def reasons(notes: Any, name: str) -> list[str]:
    return [note.reason for note in notes if note.fusion == name and note.reason]


def normal(*shape: int, kind: str = "float", seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(NUMPY[kind])


SQUARES = {
    "pow": "two = Constant<value = float[1] {2.0}>() s = Pow(c, two)",
    "mul": "s = Mul(c, c)",
}
QUOTIENTS = {
    "div": "root = Sqrt(t) n = Div(c, root)",
    "reciprocal": "root = Sqrt(t) r = Reciprocal(root) n = Mul(c, r)",
    "swapped": "root = Sqrt(t) r = Reciprocal(root) n = Mul(r, c)",
    "one over": "o = Constant<value = float{1.0}>() one = Cast<to = KIND>(o)"
    " root = Sqrt(t) r = Div(one, root) n = Mul(c, r)",
    "pow": "h = Constant<value = float{0.5}>() root = Pow(t, h) n = Div(c, root)",
    "negative pow": "h = Constant<value = float{-0.5}>() r = Pow(t, h) n = Mul(c, r)",
}
ENDS = {
    "bare": "y = Identity(n)",
    "scale": "y = Mul(w, n)",
    "scale and bias": "m = Mul(n, w) y = Add(b, m)",
}
CENTERS = {
    "layer norm": "mean = ReduceMean<keepdims = 1>(x, axes) c = Sub(x, mean)",
    "rms norm": "c = Identity(x)",
}


def norm(
    name: str, square: str, quotient: str, end: str, kind: str, axes: tuple[int, ...] = (-1,),
    epsilon: str = "t = Add(v, e)", keepdims: int = 1,
) -> Callable[[], Any]:  # fmt: skip
    body = f"""
        axes = Constant<value_ints = [{", ".join(map(str, axes))}]>()
        small = Constant<value = float{{0.01}}>() e = Cast<to = {CODES[kind]}>(small)
        {CENTERS[name]} {SQUARES[square]}
        v = ReduceMean<keepdims = {keepdims}>(s, axes) {epsilon}
        {QUOTIENTS[quotient].replace("KIND", CODES[kind])} {ENDS[end]}
    """
    weights = {"w": 1 + normal(4, kind=kind, seed=1), "b": normal(4, kind=kind, seed=2)}
    needed = weights if end == "scale and bias" else {"w": weights["w"]} if end == "scale" else {}
    return lambda: load(body, f"{kind}[2, 3, 4] x", f"{kind}[2, 3, 4] y", **needed)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(*(st.sampled_from(list(each)) for each in (CENTERS, SQUARES, QUOTIENTS, ENDS, TOLERANCES)))
def test_norms(name: str, square: str, quotient: str, end: str, kind: str) -> None:
    make = norm(name, square, quotient, end, kind)
    notes = check(make, {"x": normal(2, 3, 4, kind=kind)}, kind, trains=kind != "float16")
    assert fused(notes, name) == 1
    assert fused(notes, "norm scale") == (end != "bare")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"axes": (1,)}, "last axes"),
        ({"epsilon": "q = Sqrt(v) u = Add(q, e) t = Mul(u, u)"}, None),
        ({"epsilon": "h = ReduceMax<keepdims = 0>(x) t = Add(v, h)"}, "constant number"),
    ],
)
@pytest.mark.parametrize("name", list(CENTERS))
def test_norms_that_are_none(name: str, change: dict[str, Any], reason: str | None) -> None:
    make = norm(name, "pow", "div", "scale", "float", **change)
    notes = check(make, {"x": 1 + np.abs(normal(2, 3, 4))}, trains=False)
    assert not fused(notes, name)
    assert (not reasons(notes, name)) if reason is None else reason in reasons(notes, name)[0]


@pytest.mark.parametrize(
    "shift",
    [
        "o = Neg(mean) d = Mul(o, f) y = Add(a, d)",
        "o = Neg(mean) d = Mul(o, f) g = Add(d, b) y = Add(a, g)",
        "d = Mul(mean, f) g = Sub(b, d) y = Add(g, a)",
    ],
)
def test_norms_as_tensorflow_has_them(shift: str) -> None:
    body = f"""
        axes = Constant<value_ints = [-1]>() e = Constant<value = float{{0.01}}>()
        mean = ReduceMean(x, axes) c = Sub(x, mean) s = Mul(c, c) v = ReduceMean(s, axes)
        t = Add(v, e) root = Sqrt(t) r = Reciprocal(root) f = Mul(r, w) a = Mul(x, f) {shift}
    """
    weights = {"w": 1 + normal(1, 4, seed=1)}
    if "b" in shift:
        weights["b"] = normal(4, seed=2)
    make = lambda: load(body, "float[3, 4] x", "float[3, 4] y", **weights)  # noqa: E731
    notes = check(make, {"x": normal(3, 4)})
    assert fused(notes, "shifted layer norm") == 1


def test_a_norm_over_several_axes() -> None:
    notes = check(norm("layer norm", "mul", "div", "scale and bias", "double", (2, 1)),
                  {"x": normal(2, 3, 4, kind="double")}, "double")  # fmt: skip
    assert fused(notes, "layer norm") == fused(notes, "norm bias") == 1


def test_a_norm_whose_inside_is_an_output() -> None:
    body = """
        axes = Constant<value_ints = [-1]>() e = Constant<value = float{0.01}>()
        mean = ReduceMean(x, axes) c = Sub(x, mean) s = Mul(c, c) v = ReduceMean(s, axes)
        t = Add(v, e) root = Sqrt(t) y = Div(c, root)
    """
    make = lambda: load(body, "float[2, 4] x", "float[2, 4] y, float[2, 1] v")  # noqa: E731
    notes = check(make, {"x": normal(2, 4)})
    assert "used elsewhere" in reasons(notes, "layer norm")[0]


NOTHING = "p = Identity(a)"
GUARD = "nan = IsNaN(a) zero = Constant<value = float{0.0}>() p = Where(nan, zero, a)"
MASKS = {
    "none": ("m = Identity(s)", None),
    "added": ("m = Add(s, mask)", normal(3, 1, 1, 6)),
    "added in front": ("m = Add(mask, s)", normal(5, 6)),
    "far": (
        "far = Constant<value = float{-3e38}>() m = Where(mask, s, far)", normal(3, 1, 5, 6) > 0,
    ),
    "infinite": (
        "no = Constant<value = float{0.0}>() far = Constant<value_float = -inf>()"
        " b = Where(mask, no, far) m = Add(s, b)",
        np.arange(6) < np.arange(5)[:, None],
    ),
}  # fmt: skip
SCALES = {
    "product": ("q1 = Identity(q) k1 = Identity(kt)", "s = Mul(c, z)"),
    "divided": ("q1 = Identity(q) k1 = Identity(kt)", "s = Div(z, c)"),
    "query": ("q1 = Mul(q, c) k1 = Identity(kt)", "s = Identity(z)"),
    "both": ("q1 = Mul(q, c) k1 = Mul(kt, c)", "s = Identity(z)"),
}


def heads(mask: str, scale: str, guard: str, swap: str = "0, 1, 3, 2") -> Callable[[], Any]:
    before, after = SCALES[scale]
    masking, array = MASKS[mask]
    kind = "" if array is None else "bool" if array.dtype == bool else "float"
    size = "" if array is None else ", ".join(map(str, array.shape))
    masking = masking.replace("value_float = -inf", "value = float{-inf}")
    body = f"""
        c = Constant<value = float{{0.6}}>() kt = Transpose<perm = [{swap}]>(k) {before}
        z = MatMul(q1, k1) {after} {masking} a = Softmax<axis = -1>(m) {guard} y = MatMul(p, v)
    """
    if mask == "infinite":
        body = body.replace("Constant<value = float{-inf}>()", "Neg(inf)")
    inputs = "float[3, 2, 5, 4] q, float[3, 2, 6, 4] k, float[3, 2, 6, 3] v"
    inputs += f", {kind}[{size}] mask" if kind else ""
    weights = {"inf": np.array(np.inf, np.float32)} if mask == "infinite" else {}
    return lambda: load(body, inputs, "float[3, 2, 5, 3] y", **weights)


def head_feeds(mask: str) -> dict[str, np.ndarray]:
    feeds = {"q": normal(3, 2, 5, 4), "k": normal(3, 2, 6, 4, seed=1), "v": normal(3, 2, 6, 3)}
    array = MASKS[mask][1]
    return feeds if array is None else {**feeds, "mask": array}


@pytest.mark.parametrize("guard", [NOTHING, GUARD], ids=["bare", "guarded"])
@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.parametrize("scale", list(SCALES))
def test_attention(mask: str, scale: str, guard: str) -> None:
    """Queries that see no key have what they had before: NaN, 0 or the mean of all values."""
    trains = mask != "infinite"  # written out, such a query's gradient is NaN
    notes = check(heads(mask, scale, guard), head_feeds(mask), trains=trains)
    assert fused(notes, "attention") == 1


def attention_body(scores: str, softmax: str = "a = Softmax<axis = -1>(m)") -> Callable[[], Any]:
    body = f"""
        kt = Transpose<perm = [0, 1, 3, 2]>(k) z = MatMul(q, kt)
        c = Constant<value = float{{0.5}}>() {scores} {softmax} y = MatMul(a, v)
    """
    inputs = "float[1, 2, 6, 4] q, float[1, 2, 6, 4] k, float[1, 2, 6, 3] v, float[6, 6] mask"
    return lambda: load(body, inputs, "float[N, 2, 6, 3] y", e=normal(4, 1, 1, 1))


@pytest.mark.parametrize(
    ("scores", "softmax", "reason"),
    [
        ("m = Add(z, mask)", "a = Softmax<axis = -2>(m)", None),
        ("t = Add(z, mask) m = Mul(t, c)", "a = Softmax<axis = -1>(m)", None),
        ("t = Add(z, mask) m = Add(t, e)", "a = Softmax<axis = -1>(m)", "shape of the scores"),
        (
            "o = Greater(mask, c) f = Constant<value = float{-1e4}>() m = Where(o, z, f)",
            "a = Softmax<axis = -1>(m)", "far below",
        ),
        ("m = Add(z, mask)", "a = Softmax<axis = -1>(m) other = Exp(a)", None),
    ],
)  # fmt: skip
def test_attention_that_is_none(scores: str, softmax: str, reason: str | None) -> None:
    feeds = {**head_feeds("none"), "mask": normal(6, 6)}
    feeds = {n: x[:1, :, :6] if x.ndim == 4 else x for n, x in feeds.items()}
    feeds["q"] = normal(1, 2, 6, 4)
    notes = check(attention_body(scores, softmax), feeds, trains=False)
    is_pruned = "other" in softmax  # nothing needs it, so that it is not there
    assert fused(notes, "attention") == is_pruned
    assert reason is None or reason in reasons(notes, "attention")[0]


def test_a_triangular_mask_is_causal() -> None:
    for diagonal in (0, 1, -1):
        mask = np.where(np.tri(6, k=diagonal, dtype=bool), 0, -np.inf).astype(np.float32)
        model = attention_body("m = Add(z, mask)")
        feeds = {"q": normal(1, 2, 6, 4), "k": normal(1, 2, 6, 4), "v": normal(1, 2, 6, 3)}

        def make(model: Any = model, mask: np.ndarray = mask) -> Any:
            body = """
                kt = Transpose<perm = [0, 1, 3, 2]>(k) z = MatMul(q, kt) m = Add(z, mask)
                a = Softmax<axis = -1>(m) y = MatMul(a, v)
            """
            head = helper.make_node("Constant", [], ["mask"], value=numpy_helper.from_array(mask))
            inputs = (
                "float[1, 2, 6, 4] q, float[1, 2, 6, 4] k, float[1, 2, 6, 3] v, float[6, 6] mask"
            )
            head_text = '<ir_version: 10, opset_import: ["" : 21]>'
            text = f"{head_text} g ({inputs}) => (float[1, 2, 6, 3] y) {{ {body} }}"
            proto = parser.parse_model(text)
            del proto.graph.input[3]
            proto.graph.node.insert(0, head)
            return onnx2hetu.load_onnx(proto)

        notes = check(make, feeds, trains=diagonal >= 0)
        assert fused(notes, "attention") == 1


def test_attention_that_is_differentiated_twice() -> None:
    make = heads("none", "product", NOTHING)
    feeds, results = head_feeds("none"), []
    for optimize in (False, True):
        model = make()
        q = model.inputs["q"]
        (first,) = ht.gradients(model.outputs["y"] * model.outputs["y"], [q])
        (second,) = ht.gradients(first * first, [q])
        executor = ht.Executor([second], optimize=optimize)
        results += executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-5)
    assert "differentiated" in reasons(executor.explain(), "attention")[0]


def test_dropout_between_softmax_and_product() -> None:
    body = """
        kt = Transpose<perm = [0, 1, 3, 2]>(k) z = MatMul(q, kt) a = Softmax<axis = -1>(z)
        d = Dropout(a) y = MatMul(d, v)
    """
    inputs = "float[3, 2, 5, 4] q, float[3, 2, 6, 4] k, float[3, 2, 6, 3] v"
    for inference in (True, False):
        model = load(body, inputs, "float[3, 2, 5, 3] y")
        executor = ht.Executor([model.outputs["y"]], inference=inference)
        executor.run(feed_dict=head_feeds("none"))
        assert fused(executor.explain(), "attention") == inference


SIMPLE = {
    "y = Identity(x) z = Add(y, x)": 1,
    "o = Constant<value = float{0.0}>() y = Add(x, o) z = Relu(y)": 1,
    "o = Constant<value = float[1, 1, 1] {0.0}>() y = Sub(x, o) z = Relu(y)": 0,
    "o = Constant<value = float{0.0}>() y = Sub(o, x) z = Relu(y)": 0,
    "o = Constant<value = float{1.0}>() y = Mul(o, x) z = Relu(y)": 1,
    "o = Constant<value = float{1.001}>() y = Mul(o, x) z = Relu(y)": 0,
    "y = Cast<to = 1>(x) z = Relu(y)": 1,
    "y = Cast<to = 11>(x) z = Relu(y)": 0,
    "y = Transpose<perm = [0, 1]>(x) z = Relu(y)": 1,
    "y = Transpose<perm = [1, 0]>(x) z = Relu(y)": 0,
    "y = Transpose(x) w = Transpose(y) z = Relu(w)": 1,
    "s = Constant<value_ints = [3, 4]>() y = Reshape(x, s) z = Relu(y)": 1,
    "s = Constant<value_ints = [1, 4]>() y = Expand(x, s) z = Relu(y)": 1,
    "s = Constant<value_ints = [1, 1]>() y = Tile(x, s) z = Relu(y)": 1,
    "s = Constant<value_ints = [1, -1, -1, 1]>() y = Pad(x, s) z = Relu(y)": 0,
    "s = Constant<value_ints = [0, 0, 0, 0]>() y = Pad(x, s) z = Relu(y)": 1,
    "s = Constant<value_ints = [-1]>() e = Constant<value_ints = [-9]>()"
    " t = Constant<value_ints = [0]>() y = Slice(x, s, e, t, s) z = Relu(y)": 0,
    "s = Constant<value_ints = [0]>() e = Constant<value_ints = [9]>()"
    " y = Slice(x, s, e) z = Relu(y)": 1,
    "y = Concat<axis = 0>(x) z = Relu(y)": 1,
    "c = Constant<value = bool[1] {1}>() n = Neg(x) y = Where(c, x, n) z = Relu(y)": 1,
    "c = Constant<value = bool[4] {1, 0, 1, 1}>() n = Neg(x) y = Where(c, x, n) z = Relu(y)": 0,
}  # fmt: skip


@pytest.mark.parametrize("body", list(SIMPLE))
def test_nodes_that_do_nothing(body: str) -> None:
    output = "double z" if "to = 11" in body else "float z"
    notes = check(lambda: load(body, "float[3, 4] x", output), {"x": normal(3, 4)})
    assert fused(notes, "nothing") == SIMPLE[body]


def test_results_stay_independent_of_feeds() -> None:
    model = load(
        "y = Identity(x) t = Transpose(x) z = Transpose(t)", "float[3] x", "float y, float z"
    )
    executor, x = ht.Executor(list(model.outputs.values())), normal(3)
    kept = x.copy()
    for result in executor.run(feed_dict={"x": x}, convert_to_numpy_ret_vals=True):
        result += 1
        np.testing.assert_array_equal(x, kept)


def test_gradients_of_a_value_that_is_handed_on() -> None:
    """A gradient with respect to a copy is not one with respect to what was copied."""
    results = []
    for optimize in (False, True):
        model = load("y = Identity(x) z = Mul(y, x)", "float[3] x", "float[3] z")
        gradients = ht.gradients(model.outputs["z"], [model["y"]])
        executor = ht.Executor(gradients, optimize=optimize)
        results += executor.run(feed_dict={"x": normal(3)}, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(*results)


ACTIVATIONS = {
    "hard swish": (
        "s = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(x, s)",
        "t = Add(x, three) c = Clip(t, zero, six) m = Mul(x, c) y = Div(m, six)",
        "t = Add(three, x) c = Clip(t, zero, six) d = Div(c, six) y = Mul(d, x)",
    ),
    "gelu": tuple(
        f"""half = Constant<value = float{{0.5}}>() bent = Constant<value = float{{0.044715}}>()
        wide = Constant<value = float{{0.79788456}}>() one = Sub(three, two) h = Mul(x, half)
        {square} a = Add(c, one) w = Mul(x, wide) p = Mul(w, a) t = Tanh(p) b = Add(t, one)
        y = Mul(h, b)"""
        for square in ("s = Mul(x, x) c = Mul(s, bent)", "s = Mul(x, bent) c = Mul(s, x)")
    ),
    "mish": ("s = Softplus(x) t = Tanh(s) y = Mul(x, t)",),
    "softplus": ("e = Exp(x) o = Sub(three, two) a = Add(o, e) y = Log(a)",),
    "clip": (
        "m = Max(x, zero) y = Min(three, m)",
        "m = Min(x, three) y = Max(m, zero)",
    ),
}
NUMBERS = "".join(
    f"{name} = Constant<value = float{{{number}}}>() "
    for name, number in {"zero": 0.0, "two": 2.0, "three": 3.0, "six": 6.0}.items()
)


@pytest.mark.parametrize(("name", "body"), [(n, b) for n, bs in ACTIVATIONS.items() for b in bs])
def test_activations(name: str, body: str) -> None:
    x = 4 * normal(3, 4)
    notes = check(lambda: load(NUMBERS + body, "float[3, 4] x", "float[3, 4] y"), {"x": x})
    assert fused(notes, name) == 1
    wrong = body.replace("0.16666667", "0.17").replace("Add(x, three)", "Add(x, six)")
    wrong = wrong.replace("Add(three, x)", "Add(x, six)").replace("Softplus", "Softsign")
    wrong = wrong.replace("three, two", "three, six").replace("x, zero", "x, six")
    wrong = wrong.replace("m, zero", "m, six").replace("Log(a)", "Relu(a)")
    wrong = wrong.replace("Mul(s, x)", "Mul(s, s)").replace("Mul(x, x)", "Mul(x, three)")
    notes = check(lambda: load(NUMBERS + wrong, "float[3, 4] x", "float[3, 4] y"), {"x": x})
    assert not fused(notes, name)


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize(
    "activation", ["Clip(c, zero, six)", "LeakyRelu<alpha = 0.2>(c)", "HardSwish(c)", "Relu(c)"]
)
def test_activations_of_convolutions(activation: str, plus: bool) -> None:
    adds = "c = Add(d, x)" if plus else "c = Identity(d)"
    body = f"{NUMBERS} d = Conv<pads = [1, 1, 1, 1]>(x, w) {adds} y = {activation}"
    make = lambda: load(body, "float[2, 4, 5, 5] x", "float y", w=normal(4, 4, 3, 3))  # noqa: E731
    notes = check(make, {"x": normal(2, 4, 5, 5)}, trains=False)
    assert fused(notes, "convolution activation") == 1


def test_explanations_can_be_read() -> None:
    executor, _ = run(
        norm("layer norm", "pow", "div", "scale", "float"), {"x": normal(2, 3, 4)}, True
    )
    lines = str(executor.explain()).splitlines()
    assert "layer norm: 1 fused" in lines


EXPORTED = {
    "bert:script": {"attention": 2, "gelu": 2},
    "gpt2:script": {"attention": 2, "flattened": 8},
    "llama:dynamo": {"attention": 2, "rms norm": 5, "silu": 2},
    "t5:script-kept": {"attention": 6, "rms norm": 12},
    "vit:dynamo": {"attention": 2},
    "distilbert:script": {"attention": 2},
    "swin:script": {"attention": 4},
}


SLOW = ("distilbert:script", "gpt2:script")
"""What adds little to the others."""


@pytest.mark.parametrize(
    "spec", [pytest.param(s, marks=[pytest.mark.slow] * (s in SLOW)) for s in EXPORTED]
)
def test_what_exporters_write(spec: str, tmp_path: Path) -> None:
    name, exporter = spec.split(":")
    architecture = Case("pretrained", name, exporter).build()
    export(architecture, exporter, tmp_path / "m.onnx")
    results = []
    for optimize in (False, True):
        model = onnx2hetu.load_onnx(tmp_path / "m.onnx")
        feeds = {n: x.numpy() for n, x in architecture.inputs.items() if n in model.inputs}
        executor = ht.Executor(list(model.outputs.values()), optimize=optimize)
        results.append(executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
    notes = executor.explain()
    assert {name: fused(notes, name) for name in EXPORTED[spec]} == EXPORTED[spec]


def lookups(columns: list[int], widths: list[int]) -> Callable[[], Any]:
    parts = [
        f"c{i} = Constant<value = int64 {{{c}}}>() i{i} = Gather<axis = 1>(x, c{i})"
        f" e{i} = Gather(t{i}, i{i})"
        for i, c in enumerate(columns)
    ]
    names = ", ".join(f"e{i}" for i in range(len(columns)))
    body = f"{' '.join(parts)} y = Concat<axis = -1>({names})"
    tables = {f"t{i}": normal(5 + i, width, seed=i) for i, width in enumerate(widths)}
    return lambda: load(body, "int64[N, 6] x", "float[N, M] y", **tables)


@pytest.mark.parametrize(
    ("columns", "widths", "count"),
    [
        ([0, 1, 2, 3, 4, 5], [3] * 6, 1),
        ([5, 5, 0, -2], [3] * 4, 1),
        ([0, 1, 2, 3], [3, 3, 3, 4], 0),
        ([0, 1, 2], [3] * 3, 0),
    ],
)
def test_embeddings(columns: list[int], widths: list[int], count: int) -> None:
    make = lookups(columns, widths)
    x = np.random.default_rng(0).integers(-5, 5, (4, 6))
    results = [run(make, {"x": x}, optimize) for optimize in (False, True)]
    np.testing.assert_array_equal(results[0][1][0], results[1][1][0])
    assert fused(results[1][0].explain(), "embeddings") == count
    for wrong in (-6, 5):
        with pytest.raises(ht.errors.RunError):
            run(make, {"x": np.full((4, 6), wrong)}, True)


@pytest.mark.parametrize("transposed", [False, True])
def test_products_of_one_input(transposed: bool) -> None:
    operator = "Gemm<transB = 1>" if transposed else "Gemm"
    body = " ".join(f"y{i} = {operator}(x, w{i}, b{i})" for i in range(3))
    widths = (256, 128, 512)
    weights = {f"b{i}": normal(n, seed=i) for i, n in enumerate(widths)}
    for i, n in enumerate(widths):
        weights[f"w{i}"] = normal(*((n, 256) if transposed else (256, n)), seed=i) / 16
    make = lambda: load(body, "float[64, 256] x", "float y0, float y1, float y2", **weights)  # noqa: E731
    notes = check(make, {"x": normal(64, 256)}, trains=False)
    assert fused(notes, "merge") == 1
