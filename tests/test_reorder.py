"""Slices of a value put together in another order, in training: numpy's results and gradients."""

from collections.abc import Sequence

import numpy as np
import pytest

import hetu as ht

SHAPE = (3, 6, 2)
Span = tuple[int, int]


def put_together(
    spans: Sequence[Span], steps: int = 1, axis: int = 1, joined: int = 1
) -> tuple[list[str], list[np.ndarray]]:
    """The reasons in a plan, and the gradient of weighted slices beside the one by numpy."""
    x = ht.Variable(name="x", value=np.random.default_rng(0).normal(size=SHAPE).astype(np.float32))
    constants = [[ht.constant(np.int64([n])) for n in (*span, axis, steps)] for span in spans]
    y = ht.op.Concat(*(ht.op.Slice(x, *given) for given in constants), axis=joined)
    places = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    index = [slice(None)] * axis
    parts = [places[(*index, slice(start, end, steps))] for start, end in spans]
    taken = np.concatenate(parts, joined)
    factors = np.random.default_rng(1).normal(size=taken.shape).astype(np.float32)
    executor = ht.Executor([y, *ht.gradients(y * factors, [x])])
    found, gradient = executor.run(convert_to_numpy_ret_vals=True)
    assert np.array_equal(found, executor.store[x].numpy().reshape(-1)[taken])
    expected = np.zeros(SHAPE, np.float32)
    np.add.at(expected.reshape(-1), taken.reshape(-1), factors.reshape(-1))
    reasons = [note.reason for note in executor.explain() if note.fusion == "reordered"]
    return reasons, [gradient, expected]


@pytest.mark.parametrize(
    "spans",
    [
        [(2, 6), (0, 2)],
        [(0, 1), (4, 6), (1, 4)],
        [(-2, 1 << 40), (0, -2)],
        [(3, 6), (0, 1), (1, 2), (2, 3)],
        [(0, 3), (3, 6)],
    ],
)
def test_all_parts(spans: list[Span]) -> None:
    reasons, (gradient, expected) = put_together(spans)
    assert reasons == [""]
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("joined", [1, -2])
def test_axes_from_the_end(joined: int) -> None:
    reasons, (gradient, expected) = put_together([(3, 6), (0, 3)], joined=joined)
    assert reasons == [""]
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize(
    ("spans", "options"),
    [
        ([(2, 6), (0, 1)], {}),
        ([(2, 6), (0, 3)], {}),
        ([(2, 6), (2, 2), (0, 2)], {}),
        ([(0, 6), (0, 6)], {}),
        ([(0, 6)], {}),
        ([(0, 6), (1, 6)], {"steps": 2}),
        ([(0, 3), (3, 6)], {"joined": 0}),
        ([(0, 1), (2, 3)], {"axis": 0, "joined": 1}),
    ],
)
def test_near_misses(spans: list[Span], options: dict[str, int]) -> None:
    reasons, (gradient, expected) = put_together(spans, **options)
    assert reasons == []
    np.testing.assert_array_equal(gradient, expected)


def test_a_part_that_is_used_elsewhere() -> None:
    x = ht.Variable(name="x", value=np.float32([1, 2, 3]))
    bounds = [ht.constant(np.int64([n])) for n in (0, 1, 3)]
    first, last = ht.op.Slice(x, *bounds[:2]), ht.op.Slice(x, *bounds[1:])
    y = ht.op.ReduceSum(ht.op.Concat(last, first, axis=0) * np.float32([1, 2, 3]), keepdims=0)
    executor = ht.Executor([*ht.gradients(y * first, [x])])
    (gradient,) = executor.run(convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(gradient, [2 + 6 + 3 * 1 + 3, 1, 2])
    (reason,) = [note.reason for note in executor.explain() if note.fusion == "reordered"]
    assert "used elsewhere" in reason


def test_it_is_differentiated_twice() -> None:
    x = ht.Variable(name="x", value=np.float32([1, 2, 3]))
    bounds = [ht.constant(np.int64([n])) for n in (0, 1, 3)]
    y = ht.op.Concat(ht.op.Slice(x, *bounds[1:]), ht.op.Slice(x, *bounds[:2]), axis=0)
    (first,) = ht.gradients(y * y * y * np.float32([1, 2, 3]), [x])
    executor = ht.Executor(ht.gradients(first, [x]))
    (second,) = executor.run(convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(second, [6 * 3 * 1, 6 * 1 * 2, 6 * 2 * 3])
    assert "reordered" in {note.fusion for note in executor.explain() if not note.reason}
