"""Values and shapes at the edges, as ONNX defines them and ONNX Runtime computes them."""

import numpy as np
import pytest

from tests.support.backend import assert_equal
from tests.support.examples import Call
from tests.test_versions import build, feeds, oracle, run


@pytest.mark.parametrize("op_type", ["AveragePool", "LpPool", "MaxPool"])
@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_pools_without_a_window(op_type: str, ceil_mode: int) -> None:
    attributes = {"kernel_shape": [5, 1], "ceil_mode": ceil_mode}
    call = Call([np.ones((2, 3, 4, 5), np.float32)], attributes)
    (result,) = run(build(call, "", op_type, 22), feeds(call))
    (expected,) = oracle(call, "", op_type, 22)
    assert np.shape(result) == np.shape(expected) == (2, 3, 0, 5)


def test_thresholded_relu_of_nan() -> None:
    """What is not above the threshold is 0, NaN too."""
    call = Call([np.array([np.nan, 2, 0.5], np.float32)])
    (result,) = run(build(call, "", "ThresholdedRelu", 10), feeds(call))
    assert_equal(result, oracle(call, "", "ThresholdedRelu", 10)[0], "output")


@pytest.mark.parametrize("op_type", ["Max", "Min"])
def test_nan_wins_over_numbers(op_type: str) -> None:
    x, y = np.array([np.nan, 1, 2], np.float32), np.array([0, np.nan, 3], np.float32)
    call = Call([x, y])
    (result,) = run(build(call, "", op_type, 13), feeds(call))
    assert_equal(result, oracle(call, "", op_type, 13)[0], "output")
    assert np.isnan(result[:2]).all()
    reduced = Call([x], {"axes": [0]})
    assert np.isnan(run(build(reduced, "", f"Reduce{op_type}", 13), feeds(reduced))[0]).all()


def test_grids_of_one_element_in_16_bits() -> None:
    theta, size = np.float16([[[1, 0.25, 0], [0, 1, 0.5]]]), np.array([1, 1, 1, 4])
    call, wide = (Call([t, size], constants=[1]) for t in (theta, theta.astype(np.float32)))
    (result,) = run(build(call, "", "AffineGrid", 20), feeds(call))
    (expected,) = oracle(wide, "", "AffineGrid", 20)
    assert result.dtype == np.float16
    np.testing.assert_allclose(result, expected, rtol=2**-10)
