"""Numbers among a node's inputs take the type that the operator wants there."""

from typing import Any

import numpy as np
import pytest

from hetu.api import op
from hetu.api.value import Value
from hetu.api.variable import Variable
from hetu.errors import UsageError
from hetu.ir import Tensor
from hetu.runtime.executor import Executor


def constant(value: Value) -> np.ndarray:
    (data,) = [v.data for v in value.node.inputs if v is not None and v.data is not None]
    assert isinstance(data, Tensor)
    return data.array


@pytest.mark.parametrize("number", [2, 2.0, np.float64(2), np.int64(2), np.float32(2), [2, 2]])
@pytest.mark.parametrize("element", [np.float32, np.float16, np.int32])
def test_numbers_take_the_type_of_the_other_input(number: Any, element: type) -> None:
    product = Variable("x", dtype=element) * number
    assert constant(product).dtype == element
    assert np.all(constant(product) == 2)
    assert product.dtype is not None
    assert product.dtype.numpy == element


def test_arrays_keep_their_type() -> None:
    assert constant(Variable("x") + np.ones(2)).dtype == np.float64


def test_a_fraction_is_no_integer() -> None:
    with pytest.raises(UsageError, match="0.5 is no int32"):
        Variable("x", dtype=np.int32) * 0.5


def test_conditions_and_indices_have_a_type_of_their_own() -> None:
    x = Variable("x")
    chosen = op.Where(op.Greater(x, 0), 1.5, x)
    gathered = x[[0, 2]]
    assert constant(chosen).dtype == np.float32
    assert constant(gathered).dtype == np.int64
    assert chosen.dtype is gathered.dtype is x.dtype
    results = Executor([chosen, gathered]).run(feed_dict={x: [-1, 2, 3]})
    assert [result.asnumpy().tolist() for result in results] == [[-1, 1.5, 1.5], [-1, 3]]
