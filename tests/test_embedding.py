"""Sparse updates: each optimizer changes the rows that were looked up, with their states, alone."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from hetu.api import hetu_ops as ops
from hetu.api.variable import Variable
from hetu.optim import (
    AdaGradOptimizer,
    AdamOptimizer,
    AdamWOptimizer,
    AMSGradOptimizer,
    LambOptimizer,
    MomentumOptimizer,
    Optimizer,
    SGDOptimizer,
)
from hetu.runtime.executor import Executor

RTOL, ATOL = 1e-5, 1e-6
RATE = 0.1
N_ROWS, SIZE = 6, 3
BATCHES = [[[1, 4], [1, 9]], [[4, 4], [0, -1]], [[1, 0], [2, 1]]]
"""Ids of three steps; repeated ones count twice, those out of range not at all."""

Rule = Callable[[torch.Tensor, torch.Tensor, dict[str, torch.Tensor], int], None]
"""Changes rows, given their gradient, their states (all zeros at first) and the step's number."""


def sgd(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    p -= RATE * g


def momentum(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    s["v"] = 0.9 * s["v"] - RATE * g
    p += s["v"]


def nesterov(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    s["v"] = 0.9 * (s["v"] - RATE * g)
    p += s["v"] - RATE * g


def ada_grad(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    s["a"] = s["a"] + g**2
    p -= RATE * g / ((s["a"] + 0.5).sqrt() + 1e-7)


def moments(g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> tuple[torch.Tensor, ...]:
    s["m"] = 0.9 * s["m"] + 0.1 * g
    s["v"] = 0.999 * s["v"] + 0.001 * g**2
    return s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.999**t)


def adam(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    m, v = moments(g, s, t)
    p -= RATE * m / (v.sqrt() + 1e-7)


def amsgrad(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    m, _ = moments(g, s, t)
    s["a"] = torch.maximum(s["a"], s["v"])
    p -= RATE * m / ((s["a"] / (1 - 0.999**t)).sqrt() + 1e-7)


def adam_w(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    m, v = moments(g, s, t)
    p -= RATE * (m / (v.sqrt() + 1e-7) + 0.2 * p)


def lamb(p: torch.Tensor, g: torch.Tensor, s: dict[str, torch.Tensor], t: int) -> None:
    m, v = moments(g, s, t)
    update = m / (v.sqrt() + 1e-7)
    p -= RATE * p.norm() / update.norm() * (update + 0.2 * p)


CASES: list[tuple[Optimizer, Rule]] = [
    (SGDOptimizer(RATE, l2reg=0.3), sgd),
    (MomentumOptimizer(RATE), momentum),
    (MomentumOptimizer(RATE, nesterov=True), nesterov),
    (AdaGradOptimizer(RATE, initial_accumulator_value=0.5), ada_grad),
    (AdamOptimizer(RATE, epsilon=1e-7), adam),
    (AMSGradOptimizer(RATE), amsgrad),
    (AdamWOptimizer(RATE, weight_decay=0.2), adam_w),
    (LambOptimizer(RATE, weight_decay=0.2), lamb),
]


def table_of_numbers() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N_ROWS, SIZE)).astype(np.float32)


def steps(table: torch.Tensor, rule: Rule, weights: torch.Tensor) -> None:
    """What three steps down `sum(weights * lookup ** 2)` do to a table, row sets at a time."""
    states = {name: torch.zeros_like(table) for name in "vam"}
    for t, batch in enumerate(BATCHES, 1):
        gradient = torch.zeros_like(table)
        for ids, per_row in zip(batch, weights, strict=True):
            for k, w in zip(ids, per_row, strict=True):
                if 0 <= k < N_ROWS:
                    gradient[k] += 2 * w * table[k]
        touched = sorted({k for ids in batch for k in ids if 0 <= k < N_ROWS})
        rows = table[touched]
        parts = {name: state[touched] for name, state in states.items()}
        rule(rows, gradient[touched], parts, t)
        table[touched] = rows
        for name, part in parts.items():
            states[name][touched] = part


@pytest.mark.parametrize(("optimizer", "rule"), CASES, ids=lambda part: type(part).__name__)
@pytest.mark.parametrize("element", [np.int32, np.int64, np.float32])
def test_only_rows_looked_up_change(optimizer: Optimizer, rule: Rule, element: type) -> None:
    start = table_of_numbers()
    weights = np.random.default_rng(1).uniform(1, 2, (2, 2, SIZE)).astype(np.float32)
    table, ids = Variable("table", start), Variable("ids", dtype=element)
    lookup = ops.embedding_lookup_op(table, ids)
    loss = ops.reduce_sum_op(lookup * lookup * weights, [0, 1, 2])
    executor = Executor({"train": [loss, optimizer.minimize(loss)]})
    for batch in BATCHES:
        executor.run("train", feed_dict={ids: batch})
    expected = torch.from_numpy(start.copy())
    steps(expected, rule, torch.from_numpy(weights))
    actual = executor.state_dict()["table"]
    np.testing.assert_allclose(actual, expected, RTOL, ATOL)
    np.testing.assert_array_equal(actual[[3, 5]], start[[3, 5]])
    assert table.data.array.tolist() == start.tolist()


def test_lookups_of_one_table_add_up() -> None:
    start = table_of_numbers()
    table, left, right = Variable("table", start), Variable("left"), Variable("right")
    product = ops.embedding_lookup_op(table, left) * ops.embedding_lookup_op(table, right)
    train = AdamOptimizer(RATE).minimize(product)
    executor = Executor([train])
    executor.run(feed_dict={left: [1, 2], right: [2, 4]})
    weight = torch.from_numpy(start.copy()).requires_grad_()
    (weight[[1, 2]] * weight[[2, 4]]).sum().backward()
    expected = start.copy()
    expected[[1, 2, 4]] -= RATE * np.sign(weight.grad.numpy()[[1, 2, 4]])
    np.testing.assert_allclose(executor.state_dict()["table"], expected, 1e-4, 1e-4)


def test_a_table_used_otherwise_as_well_has_a_dense_gradient() -> None:
    start = table_of_numbers()
    table, ids = Variable("table", start), Variable("ids")
    rows = ops.embedding_lookup_op(table, ids)
    loss = ops.reduce_sum_op(ops.matmul_op(rows, table, trans_B=True), [0, 1])
    executor = Executor([SGDOptimizer(RATE).minimize(loss)])
    executor.run(feed_dict={ids: [0, 3]})
    weight = torch.from_numpy(start.copy()).requires_grad_()
    (weight[[0, 3]] @ weight.T).sum().backward()
    expected = start - RATE * weight.grad.numpy()
    np.testing.assert_allclose(executor.state_dict()["table"], expected, RTOL, ATOL)


def test_a_step_without_any_valid_id_changes_nothing() -> None:
    start = table_of_numbers()
    table, ids = Variable("table", start), Variable("ids")
    loss = ops.reduce_sum_op(ops.embedding_lookup_op(table, ids), [0, 1])
    executor = Executor([loss, AdamOptimizer(RATE).minimize(loss)])
    executor.run(feed_dict={ids: [0, 1]})
    before = executor.state_dict()["table"].copy()
    (result, _) = executor.run(feed_dict={ids: [-1, 99]}, convert_to_numpy_ret_vals=True)
    assert result.tolist() == [0]
    np.testing.assert_array_equal(executor.state_dict()["table"], before)
