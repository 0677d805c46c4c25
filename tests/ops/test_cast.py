"""Conversions that ONNX Runtime does not do: float 8, types below a byte, and what Cast-1 says."""

import ml_dtypes
import numpy as np
import pytest
import torch

from hetu.convert import to_numpy, to_torch
from hetu.errors import ModelError, UsageError
from hetu.ops.ai_onnx.cast import bit_cast, cast, cast_1, cast_like
from hetu.types import DTYPES, STRING, DType, dtype

NUMERIC = [element for element in DTYPES if element is not STRING]
FLOAT8 = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"]
LARGEST = {"float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float8_e5m2": 57344.0}
LARGEST["float8_e5m2fnuz"] = LARGEST["float8_e5m2"]
INF, NAN = np.inf, np.nan


def converted(array: np.ndarray, to: str, **attributes: object) -> np.ndarray:
    return to_numpy(cast(to_torch(array), to=dtype(to), **attributes))


@pytest.mark.parametrize("source", NUMERIC, ids=str)
def test_every_pair(source: DType) -> None:
    for target in NUMERIC:
        has_zero = "float8_e8m0fnu" not in (source.name, target.name)
        numbers = np.array([[1.0, 0.0 if has_zero else 1.0, 1.0]], np.float32)
        result = converted(numbers.astype(source.numpy), target.name)
        assert dtype(result.dtype) is target
        np.testing.assert_array_equal(result.astype(np.complex64), numbers, str(target))


@pytest.mark.parametrize("element", NUMERIC, ids=str)
def test_to_string_and_back(element: DType) -> None:
    texts = converted(np.array([1, 1], np.float32).astype(element.numpy), "string")
    assert texts.tolist() == ["(1+0j)" if element.name.startswith("complex") else "1"] * 2
    numbers = converted(np.array(["1", "1"], object), element.name)
    assert dtype(numbers.dtype) is element
    assert numbers.astype(np.complex64).tolist() == [1, 1]


@pytest.mark.parametrize("source", [np.float16, np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("to", FLOAT8)
@pytest.mark.parametrize("saturate", [True, False])
def test_float8_table(to: str, saturate: bool, source: type) -> None:
    """The tables in Cast's documentation; 60000 is finite in float16 and beyond every float 8."""
    largest = LARGEST[to]
    inf = INF if to == "float8_e5m2" else NAN
    over = largest if saturate else inf
    numbers = np.array([0, -0.0, NAN, INF, -INF, 65000, -65000, largest, -largest]).astype(source)
    result = converted(numbers, to, saturate=saturate)
    expected = [0, 0, NAN, over, -over, over, -over, largest, -largest]
    np.testing.assert_array_equal(result.astype(np.float32), expected)
    assert np.signbit(result.astype(np.float32)[1]) == (not to.endswith("uz"))


@pytest.mark.parametrize("to", [*FLOAT8, "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"])
@pytest.mark.parametrize("saturate", [True, False])
def test_rounds_to_nearest_even(to: str, saturate: bool) -> None:
    """Every number of the type, the ties between neighbours, and what lies next to those."""
    element = dtype(to)
    codes = np.arange(1 << element.bits, dtype=np.uint8).view(element.numpy).astype(np.float32)
    finite = np.unique(codes[np.isfinite(codes)])
    ties = (finite[1:] + finite[:-1]) / 2
    beyond = finite[-1] + (finite[-1] - finite[-2]) * np.array([0.25, 0.49, 0.51, 0.75])
    numbers = np.concatenate(
        [finite, ties, np.nextafter(ties, -INF), np.nextafter(ties, INF), beyond, -beyond]
    ).astype(np.float32)
    expected = numbers.astype(element.numpy).astype(np.float32)
    if saturate:
        expected = numbers.clip(finite[0], finite[-1]).astype(element.numpy).astype(np.float32)
    result = converted(numbers, to, saturate=saturate)
    np.testing.assert_array_equal(result.astype(np.float32), expected)


def test_e8m0_table() -> None:
    smallest, largest = 2.0**-127, 2.0**127
    numbers = np.array([0, NAN, INF, 1e300, 1e-300, smallest, largest])
    saturated = converted(numbers, "float8_e8m0fnu", saturate=True, round_mode="up")
    expected = [smallest, NAN, largest, largest, smallest, smallest, largest]
    np.testing.assert_array_equal(saturated.astype(np.float64), expected)
    strict = converted(numbers, "float8_e8m0fnu", saturate=False, round_mode="nearest")
    expected = [NAN, NAN, NAN, NAN, NAN, smallest, largest]
    np.testing.assert_array_equal(strict.astype(np.float64), expected)


@pytest.mark.parametrize(
    ("round_mode", "expected"),
    [("up", [1, 2, 2, 2, 2]), ("nearest", [1, 1, 2, 2, 2]), ("down", [1, 1, 1, 1, 2])],
)
def test_e8m0_rounding(round_mode: str, expected: list[float]) -> None:
    numbers = np.array([1, 1.49, 1.5, 1.99, 2], np.float32)
    result = converted(numbers, "float8_e8m0fnu", round_mode=round_mode)
    assert result.astype(np.float32).tolist() == expected


def test_e8m0_refuses_unknown_rounding() -> None:
    with pytest.raises(ModelError, match="round_mode is up, down or nearest, not 'odd'"):
        converted(np.ones(1, np.float32), "float8_e8m0fnu", round_mode="odd")


def test_integers_wrap() -> None:
    numbers = np.array([200, -1, 7, 8, 1 << 40], np.int64)
    for to in ("int8", "uint8", "uint16", "uint32", "uint64", "int4", "uint4", "int2", "uint2"):
        assert converted(numbers, to).tolist() == numbers.astype(dtype(to).numpy).tolist(), to
    largest = np.array([2**64 - 1], np.uint64)
    assert converted(largest, "float64").tolist() == [2.0**64]
    assert converted(largest, "int4").tolist() == [-1]


def test_strings() -> None:
    numbers = np.array([0.1, 1e10, NAN, INF, -INF, -0.0, 16777216, 314.15926])
    texts = ["0.1", "1e+10", "NaN", "INF", "-INF", "-0", "16777216", "314.15926"]
    assert converted(numbers, "string").tolist() == texts
    assert converted(np.array([True, False]), "string").tolist() == ["1", "0"]
    parsed = converted(np.array(["+inf", "-INF", "nan", "1E8", "-1e-5"], object), "float64")
    np.testing.assert_array_equal(parsed, [INF, -INF, NAN, 1e8, -1e-5])
    large = np.array([str(2**64 - 1), str(2**63), "2.718"], object)
    assert converted(large, "uint64").tolist() == [2**64 - 1, 2**63, 2]
    assert converted(np.array(["3"], object), "string").tolist() == ["3"]
    with pytest.raises(ModelError, match="a string is no float32"):
        converted(np.array(["Hello World!"], object), "float32")


def test_gradient_flows_between_float_types() -> None:
    x = torch.tensor([1.5, 1000.0], requires_grad=True)
    half = cast_like(cast(x, to=dtype("float16")), torch.zeros((), dtype=torch.float64))
    small = cast(cast(x, to=dtype("float8_e4m3fn")), to=dtype("float32"))
    ((2 * half).sum() + small.sum()).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [3.0, 2.0]  # saturation lets nothing through


def test_first_version_names_types() -> None:
    x = torch.tensor([1.5])
    assert cast_1(x, to="FLOAT").dtype is torch.float32
    assert cast_1(x, to="DOUBLE").dtype is torch.float64
    assert cast_1(x, to="INT64").tolist() == [1]


@pytest.mark.parametrize("source", NUMERIC, ids=str)
def test_bit_cast(source: DType) -> None:
    array = np.array([1, 0.5, 1], np.float32).astype(source.numpy)
    for target in NUMERIC:
        if source.bits != target.bits:
            with pytest.raises(UsageError, match="types of the same width"):
                bit_cast(to_torch(array), to=target)
            continue
        result = bit_cast(to_torch(array), to=target)
        assert dtype(result.dtype) is target
        back = bit_cast(result, to=source)
        np.testing.assert_array_equal(to_numpy(back), array)


def test_bit_cast_of_types_below_a_byte() -> None:
    negative = to_torch(np.array([-1, -8, 7], ml_dtypes.int4))
    unsigned = bit_cast(negative, to=dtype("uint4"))
    assert to_numpy(unsigned).tolist() == [15, 8, 7]
    floats = to_numpy(bit_cast(negative, to=dtype("float4_e2m1fn")))
    np.testing.assert_array_equal(floats.astype(np.float32), [-6, -0.0, 6])
    assert to_numpy(bit_cast(unsigned, to=dtype("int4"))).tolist() == [-1, -8, 7]


@pytest.mark.parametrize("to", ["int4", "int2"])
def test_fractions_become_the_nearest_integers_below_8_bits(to: str) -> None:
    """As in ONNX Runtime 1.32, ONNX being silent: halves away from zero; wider types cut off."""
    numbers = np.array([0.49, 0.5, -0.5, 0.9, -1.49, -1.5], np.float32)
    assert converted(numbers, to).astype(int).tolist() == [0, 1, -1, 1, -1, -2]
    assert converted(numbers, "int8").tolist() == [0, 0, 0, 0, -1, -1]
