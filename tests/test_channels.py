"""Convolutions and products with what exporters put around them, and transposes between them."""

import numpy as np
import pytest

from tests.test_fusions import check, fused, load, normal, reasons

IMAGE = "float[2, 3, 7, 6] x"


@pytest.mark.parametrize(
    "settings", ["auto_pad = \"SAME_UPPER\", strides = [2, 2]", "pads = [1, 0, 2, 1]",
                 "auto_pad = \"SAME_LOWER\", strides = [3, 2], dilations = [2, 1]"],
)  # fmt: skip
@pytest.mark.parametrize("group", [1, 3])
def test_convolutions_padded_unevenly(settings: str, group: int) -> None:
    body = f"c = Conv<{settings}, group = {group}>(x, w, b) y = Relu(c)"
    weights = {"w": normal(6, 3 // group, 3, 4), "b": normal(6)}
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
    weights = {"w": normal(*weight), "s": 2 + np.abs(normal(*parameter, seed=1))}
    weights |= {"t": 2 + np.abs(normal(*parameter, seed=2))}
    weights |= {"b": normal(4)} if "b)" in body else {}
    notes = check(lambda: load(body, IMAGE, "float y", **weights), {"x": normal(2, 3, 7, 6)})
    assert fused(notes, "channel affine") == count


@pytest.mark.parametrize("transposed", [0, 1])
def test_factors_of_a_large_product(transposed: int) -> None:
    body = f"c = Gemm<transB = {transposed}>(x, w, b) m = Mul(c, s) y = Relu(m)"
    weights = {"w": normal(256, 256) / 16, "b": normal(256), "s": normal(1, 256, seed=1)}
    make = lambda: load(body, "float[64, 256] x", "float y", **weights)  # noqa: E731
    notes = check(make, {"x": normal(64, 256)})
    assert fused(notes, "channel affine") == fused(notes, "linear activation") == 1
