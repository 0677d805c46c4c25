"""Parts of one value along an axis that are taken all at once: numpy's results and gradients."""

from collections.abc import Sequence

import numpy as np
import pytest

import hetu as ht

SHAPE = (3, 6, 4)
Part = tuple[int, int] | int
"""From where to where, or one position."""


def take(axis: int, wanted: Sequence[Part], steps: int = 1) -> int:
    """Check results and gradients of weighted parts; how many splits there are in the plan."""
    random = np.random.default_rng(0)
    x = ht.Variable(name="x", value=random.normal(size=SHAPE).astype(np.float32))
    data = x.data.array
    taken, expected, total = [], [], np.zeros(SHAPE, np.float32)
    for part in wanted:
        index = [slice(None)] * 3
        if isinstance(part, int):
            index[axis] = part
            value = ht.op.Gather(x, ht.constant(np.int64(part)), axis=axis)
        else:
            index[axis] = slice(*part, steps)
            given = (ht.constant(np.int64([n])) for n in (*part, axis, steps))
            value = ht.op.Slice(x, *given)
        factor = random.normal(size=data[tuple(index)].shape).astype(np.float32)
        total[tuple(index)] += factor
        taken.append(ht.op.Mul(value, ht.constant(factor)))
        expected.append(data[tuple(index)] * factor)
    loss = sum(map(ht.op.ReduceSum, taken[1:]), ht.op.ReduceSum(taken[0]))
    for train in (False, True):
        executor = ht.Executor([*taken, *(ht.gradients(loss, [x]) if train else ())])
        *found, last = executor.run(convert_to_numpy_ret_vals=True)
        for one, other in zip(found, expected, strict=False):
            np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(last, total, rtol=1e-6)
    return sum(note.fusion == "parts" for note in executor.explain())


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ([(0, 1), (1, 2), (2, 3)], 1),
        ([(1, 2), (0, 1)], 1),
        ([(0, 1), (2, 3)], 1),
        ([(-1, 1 << 40), (0, 1)], 1),
        ([0, 1, 2], 1),
        ([0, (1, 3)], 1),
        ([-1, 0], 1),
        ([0, (0, 1), (1, 2)], 1),
        ([0, 0, 1], 1),
        ([(0, 2), (1, 3)], 0),
        ([(0, 2), 1], 0),
        ([(0, 2)], 0),
        ([(0, 0), (0, 2)], 0),
    ],
)
def test_parts(axis: int, wanted: list[Part], count: int) -> None:
    assert take(axis, wanted) == count


def test_steps() -> None:
    assert take(1, [(0, 3), (3, 6)], steps=2) == 0


def test_parts_of_different_axes() -> None:
    x = ht.Variable(name="x", value=np.arange(12, dtype=np.float32).reshape(3, 4))
    rows = [ht.op.Gather(x, ht.constant(np.int64(n)), axis=0) for n in range(3)]
    columns = [ht.op.Gather(x, ht.constant(np.int64(n)), axis=1) for n in range(4)]
    executor = ht.Executor([*rows, *columns])
    found = executor.run(convert_to_numpy_ret_vals=True)
    data = x.data.array
    for one, other in zip(found, [*data, *data.T], strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(note.fusion == "parts" for note in executor.explain()) == 2
