"""Convolutions and products with what exporters put around them, and transposes between them."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from tests.test_fusions import check, fused, load, normal, reasons, run

IMAGE = "float[2, 3, 7, 6] x"


@pytest.mark.parametrize(
    "settings", ["auto_pad = \"SAME_UPPER\", strides = [2, 2]", "pads = [1, 0, 2, 1]",
                 "auto_pad = \"SAME_LOWER\", strides = [3, 2], dilations = [2, 1]"],
)  # fmt: skip
@pytest.mark.parametrize("group", [1, 3])
def test_convolutions_padded_unevenly(settings: str, group: int) -> None:
    body = f"c = Conv<{settings}, group = {group}>(x, w, b) y = Relu(c)"
    weights: dict[str, Any] = {"w": normal(6, 3 // group, 3, 4), "b": normal(6)}
    notes = check(lambda: load(body, IMAGE, "float y", **weights), {"x": normal(2, 3, 7, 6)})
    assert fused(notes, "convolution") == fused(notes, "convolution activation") == 1


def test_a_convolution_in_space_padded_unevenly() -> None:
    body = "y = Conv<pads = [1, 0, 2, 1, 1, 0]>(x, w)"
    make = lambda: load(body, "float[1, 2, 4, 5, 6] x", "float y", w=normal(3, 2, 3, 2, 3))  # noqa: E731
    notes = check(make, {"x": normal(1, 2, 4, 5, 6)})
    assert fused(notes, "convolution") == 1


PADS = {
    "p = Constant<value_ints = [0, 0, 1, 1, 0, 0, 1, 1]>() a = Pad(x, p)": None,
    "p = Constant<value_ints = [0, 0, 0, 1, 0, 0, 1, 2]>() z = Constant<value = float{0.0}>()"
    " a = Pad(x, p, z)": None,
    "p = Constant<value_ints = [1, 2, 0, 1]>() i = Constant<value_ints = [-1, 2]>()"
    " a = Pad(x, p, , i)": None,
    "p = Constant<value_ints = [0, 0, 1, 1, 0, 0, 1, 1]>() z = Constant<value = float{0.5}>()"
    " a = Pad(x, p, z)": "zeros",
    "p = Constant<value_ints = [0, 0, 1, 1, 0, 0, 1, 1]>() a = Pad<mode = \"edge\">(x, p)": "zeros",
    "p = Constant<value_ints = [0, 0, 1, -1, 0, 0, 1, 1]>() a = Pad(x, p)": "crops",
    "p = Constant<value_ints = [1, 0, 1, 0, 0, 0, 1, 1]>() a = Pad(x, p)": "other axes",
}  # fmt: skip


@pytest.mark.parametrize("settings", ["strides = [2, 2]", 'auto_pad = "SAME_UPPER"'])
@pytest.mark.parametrize("body", list(PADS))
def test_zeros_around_a_convolution(body: str, settings: str) -> None:
    whole = f"{body} y = Conv<{settings}>(a, w)"
    make = lambda: load(whole, IMAGE, "float y", w=normal(4, 3, 3, 3))  # noqa: E731
    notes = check(make, {"x": normal(2, 3, 7, 6)})
    reason = PADS[body]
    assert fused(notes, "pad") == (reason is None)
    assert reason is None or reason in reasons(notes, "pad")[0]


def test_zeros_around_a_convolution_as_an_attribute() -> None:
    body = "a = Pad<pads = [0, 0, 1, 0, 0, 0, 1, 1]>(x) y = Conv(a, w)"
    make = lambda: load(body, IMAGE, "float y", 10, w=normal(4, 3, 3, 3))  # noqa: E731
    assert fused(check(make, {"x": normal(2, 3, 7, 6)}), "pad") == 1


def test_zeros_that_are_a_result() -> None:
    body = "p = Constant<value_ints = [0, 0, 1, 1, 0, 0, 1, 1]>() a = Pad(x, p) y = Conv(a, w)"
    make = lambda: load(body, IMAGE, "float y, float a", w=normal(4, 3, 3, 3))  # noqa: E731
    notes = check(make, {"x": normal(2, 3, 7, 6)})
    assert "used elsewhere" in reasons(notes, "pad")[0]


AFFINE = [
    ("c = Conv(x, w) m = Mul(c, s) a = Add(m, t) y = Relu(a)", (4, 3, 2, 2), (4, 1, 1), 2),
    ("c = Conv(x, w, b) m = Mul(s, c) a = Sub(m, t) y = Relu(a)", (4, 3, 2, 2), (1, 4, 1, 1), 2),
    ("c = Conv<group = 3>(x, w) m = Add(c, s) y = Div(m, t)", (6, 1, 2, 2), (6, 1, 1), 2),
    ("c = ConvTranspose(x, w) m = Mul(c, s) y = Add(t, m)", (3, 4, 2, 2), (4, 1, 1), 2),
    ("c = Conv(x, w) m = Mul(c, s) y = Add(m, t)", (5, 3, 2, 2), (5,), 0),
    ("c = Conv(x, w) m = Mul(c, s) y = Add(m, t)", (4, 3, 2, 2), (1, 1), 0),
    ("c = Conv(x, w) m = Div(s, c) y = Sub(t, m)", (4, 3, 2, 2), (4, 1, 1), 0),
    ("c = Conv(x, w) m = Mul(c, s) n = Add(m, t) y = Div(n, c)", (4, 3, 2, 2), (4, 1, 1), 0),
    ("c = MatMul(x, w) m = Mul(c, s) y = Add(m, t)", (6, 5), (5,), 1),
    ("c = MatMul(x, w) m = Mul(c, s) y = Add(m, t)", (3, 6, 5), (5,), 0),
    ("c = MatMul(x, w) m = Mul(c, s) y = Add(m, t)", (6, 5), (7, 1), 0),
]  # fmt: skip


@pytest.mark.parametrize(("body", "weight", "parameter", "count"), AFFINE)
def test_factors_and_summands_of_channels(
    body: str, weight: tuple[int, ...], parameter: tuple[int, ...], count: int
) -> None:
    weights: dict[str, Any] = {"w": normal(*weight), "s": 2 + np.abs(normal(*parameter, seed=1))}
    weights |= {"t": 2 + np.abs(normal(*parameter, seed=2))}
    weights |= {"b": normal(4)} if "b)" in body else {}
    notes = check(lambda: load(body, IMAGE, "float y", **weights), {"x": normal(2, 3, 7, 6)})
    assert fused(notes, "channel affine") == count


@pytest.mark.parametrize("transposed", [0, 1])
def test_factors_of_a_large_product(transposed: int) -> None:
    body = f"c = Gemm<transB = {transposed}>(x, w, b) m = Mul(c, s) y = Relu(m)"
    weights: dict[str, Any] = {
        "w": normal(256, 256) / 16,
        "b": normal(256),
        "s": normal(1, 256, seed=1),
    }
    make = lambda: load(body, "float[64, 256] x", "float y", **weights)  # noqa: E731
    notes = check(make, {"x": normal(64, 256)})
    assert fused(notes, "channel affine") == fused(notes, "linear activation") == 1


def between(body: str) -> str:
    """Two convolutions on channels first, with `a` to `b` between them on channels last."""
    return f"""
        c = Conv(x, w) a = Transpose<perm = [0, 2, 3, 1]>(c) d = Relu(c)
        e = Transpose<perm = [0, 2, 3, 1]>(d) {body}
        f = Transpose<perm = [0, 3, 1, 2]>(b) y = Conv(f, v)
    """


CHAINS = {
    "b = Relu(a)": 0,
    "s = Sigmoid(a) b = Mul(s, a)": 0,
    "g = Add(a, t) b = Elu(g)": 0,
    "k = Constant<value = float{2.0}>() g = Sub(k, a) b = Tanh(g)": 0,
    "g = Add(a, e) b = Relu(g)": 0,
    "b = Concat<axis = -1>(a, e)": 0,
    "b = Concat<axis = 1>(a, e)": 0,
    "p = Constant<value_ints = [0, 1, 0, 0, 0, 2, 1, 0]>() b = Pad(a, p)": 0,
    "i = Constant<value_ints = [1, 2]>() m = ReduceMean(a, i) b = Relu(m)": 0,
    "b = Softmax<axis = -1>(a)": 2,
    "b = BatchNormalization(a, q, q, q, q)": 2,
}


@pytest.mark.parametrize("body", list(CHAINS))
def test_transposes_between_convolutions(body: str) -> None:
    channels = 8 if "axis = -1>(a" in body else 4
    weights = {"w": normal(4, 3, 2, 2), "v": normal(2, channels, 1, 1), "t": normal(4)}
    weights |= {"q": 1 + np.abs(normal(5))}
    if "Softmax" in body:
        weights["v"] = normal(2, 4, 1, 1)
    used: dict[str, Any] = {n: w for n, w in weights.items() if n in "wv" or f", {n}" in body}
    make = lambda: load(between(body), "float[2, 3, 6, 5] x", "float y", **used)  # noqa: E731
    check(make, {"x": normal(2, 3, 6, 5)})
    executor, _ = run(make, {"x": normal(2, 3, 6, 5)}, True)
    assert executor.source().count("= transpose_") == CHAINS[body]


@pytest.mark.parametrize("axes", ["[1, 2]", "[3]", "[0, 2]"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_means_of_channels_last(axes: str, keepdims: int) -> None:
    body = f"""
        a = Transpose<perm = [0, 2, 3, 1]>(x) i = Constant<value_ints = {axes}>()
        y = ReduceMean<keepdims = {keepdims}>(a, i)
    """
    notes = check(lambda: load(body, IMAGE, "float y"), {"x": normal(2, 3, 7, 6)})
    assert fused(notes, "sink") == 1


def test_summands_that_name_their_axis() -> None:
    """Before opset 7, a vector is added along the axis that an attribute names."""
    for between in ("", "Transpose<perm = [0, 2, 3, 1]>(d) "):
        end = f"c = {between}" if between else "c = Identity(d) "
        body = f"d = Conv(x, w) {end} y = Add<broadcast = 1, axis = 2>(c, s)"
        weights: dict[str, Any] = {"w": normal(4, 3, 4, 3), "s": normal(4)}
        make = partial(load, body, IMAGE, "float y", 6, **weights)
        notes = check(make, {"x": normal(2, 3, 7, 6)}, trains=False)
        assert not fused(notes, "channel affine") + fused(notes, "sink")
