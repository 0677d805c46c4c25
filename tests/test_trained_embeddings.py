"""Look-ups in tables that train, joined: torch.nn.Embedding's steps, with the plain ones' bits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import hetu as ht
from hetu.errors import RunError

COUNT, WIDTH = 5, 3
BATCHES = [np.random.default_rng(seed).integers(-4, 4, (7, COUNT)) for seed in range(4)]
"""Of a table's 4 to 8 rows, some are looked up several times, some from the end, some never."""

RTOL, ATOL = 1e-5, 1e-6
"""Rounding of float32 over four steps."""

HERE = "trained embeddings"


def weights(count: int = COUNT) -> list[np.ndarray]:
    random = np.random.default_rng(9)
    return [random.standard_normal((4 + i, WIDTH)).astype(np.float32) for i in range(count)]


FACTORS = np.random.default_rng(8).uniform(1, 2, (7, COUNT * WIDTH)).astype(np.float32)


def variables() -> list[Any]:
    return [ht.Variable(name=f"t{i}", value=w, trainable=True) for i, w in enumerate(weights())]


def side_by_side(tables: Sequence[Any], ids: Any) -> Any:
    columns = [ht.op.Gather(ids, ht.constant(np.int64(i)), axis=1) for i in range(len(tables))]
    return ht.op.Concat(*map(ht.op.Gather, tables, columns), axis=-1)


class Net:
    """The sum of the squares of what is looked up, and an executor that trains the tables."""

    def __init__(self, optimizer: Any, optimize: bool = True, trained: slice = slice(None)) -> None:
        self.tables, self.ids = variables(), ht.Variable(name="ids", dtype=np.int64)
        found = side_by_side(self.tables, self.ids)
        self.loss = ht.op.ReduceSum(found * found * FACTORS, keepdims=0)
        train = optimizer.minimize(self.loss, var_list=self.tables[trained])
        self.executor = ht.Executor({"train": [self.loss, train]}, optimize=optimize)

    def step(self, batch: np.ndarray) -> np.ndarray:
        feeds = {self.ids: batch}
        return self.executor.run("train", feed_dict=feeds, convert_to_numpy_ret_vals=True)[0]

    def tables_now(self) -> list[np.ndarray]:
        state = self.executor.state_dict()
        return [state[f"t{i}"].copy() for i in range(COUNT)]


def notes(executor: Any, name: str) -> list[str]:
    """The reasons of a fusion, "" where it was made."""
    return [note.reason for note in executor.explain(name) if note.fusion == HERE]


LIKE_TORCH = [
    (ht.optim.SGDOptimizer(0.02), torch.optim.SGD, {"lr": 0.02}),
    (ht.optim.SGDOptimizer(0.02, l2reg=0.3), torch.optim.SGD, {"lr": 0.02, "weight_decay": 0.3}),
    (ht.optim.MomentumOptimizer(0.02, 0.9), torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
    (ht.optim.AdamOptimizer(0.1), torch.optim.Adam, {"lr": 0.1}),
    (
        ht.optim.AdamWOptimizer(0.1, epsilon=1e-8, weight_decay=0.2),
        torch.optim.AdamW,
        {"lr": 0.1, "weight_decay": 0.2},
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "settings"), LIKE_TORCH)
def test_steps_like_torch(ours: Any, theirs: Any, settings: dict[str, float]) -> None:
    net = Net(ours)
    modules = [nn.Embedding.from_pretrained(torch.tensor(w), freeze=False) for w in weights()]
    optimizer = theirs([module.weight for module in modules], **settings)
    for batch in BATCHES:
        ids = [batch[:, i] % len(module.weight) for i, module in enumerate(modules)]
        found = torch.cat([m(torch.tensor(i)) for m, i in zip(modules, ids, strict=True)], -1)
        loss = (found.square() * torch.tensor(FACTORS)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(net.step(batch), loss.item(), RTOL)
    for table, module in zip(net.tables_now(), modules, strict=True):
        np.testing.assert_allclose(table, module.weight.detach(), RTOL, ATOL)
    assert notes(net.executor, "train") == [""]


RULES = [
    *(ours for ours, _, _ in LIKE_TORCH),
    ht.optim.MomentumOptimizer(0.02, 0.9, nesterov=True, l2reg=0.1),
    ht.optim.AdaGradOptimizer(0.1),
    ht.optim.LambOptimizer(0.1, weight_decay=0.2),
]


@pytest.mark.parametrize("trained", [slice(None), slice(1, 3)], ids=["all", "some"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_steps_are_the_plain_ones(rule: Any, trained: slice) -> None:
    plain, fast = Net(rule, optimize=False, trained=trained), Net(rule, trained=trained)
    for batch in BATCHES:
        np.testing.assert_array_equal(fast.step(batch), plain.step(batch))
    for now, other, start in zip(fast.tables_now(), plain.tables_now(), weights(), strict=True):
        np.testing.assert_array_equal(now, other)
        is_trained = len(start) - 4 in range(COUNT)[trained]
        assert np.array_equal(now, start) != is_trained
    assert notes(fast.executor, "train") == [""]


def test_resumes_with_equal_bits(tmp_path: Path) -> None:
    whole, first, second = (Net(ht.optim.AdamOptimizer(0.1)) for _ in range(3))
    losses = [whole.step(batch) for batch in BATCHES]
    for batch in BATCHES[:2]:
        first.step(batch)
    first.executor.save(str(tmp_path), "c")
    second.executor.load(str(tmp_path), "c")
    assert [second.step(batch) for batch in BATCHES[2:]] == losses[2:]
    for one, other in zip(whole.tables_now(), second.tables_now(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("wrong", [(2, 0, 4), (3, 2, -7), (0, 4, 99)])
def test_an_index_outside_of_its_table_changes_nothing(wrong: tuple[int, int, int]) -> None:
    row, column, index = wrong
    bad = np.zeros_like(BATCHES[0])
    bad[row, column] = index
    net, other = Net(ht.optim.AdamOptimizer(0.1)), Net(ht.optim.AdamOptimizer(0.1))
    net.step(BATCHES[0])
    before = net.tables_now()
    with pytest.raises(RunError) as raised:
        net.step(bad)
    assert isinstance(raised.value.__cause__, IndexError)
    np.testing.assert_array_equal(np.concatenate(net.tables_now()), np.concatenate(before))
    other.step(BATCHES[0])
    assert net.step(BATCHES[1]) == other.step(BATCHES[1])
    np.testing.assert_array_equal(
        np.concatenate(net.tables_now()), np.concatenate(other.tables_now())
    )


@pytest.mark.parametrize("element", [np.int32, np.int64])
def test_gradients_of_tables_with_other_uses(element: type) -> None:
    """One table is looked up in twice and multiplied with; the batch has a dimension more."""
    tables, ids = variables(), ht.Variable(name="ids", dtype=element)
    tables[3] = tables[1]
    columns = [ht.op.Gather(ids, ht.constant(np.int64(i)), axis=2) for i in range(COUNT)]
    found = ht.op.Concat(*map(ht.op.Gather, tables, columns), axis=2)
    product = ht.op.MatMul(tables[1], np.float32([[1, 2], [3, 4], [5, 6]]))
    loss = ht.op.ReduceSum(found * found, keepdims=0) + ht.op.ReduceSum(product, keepdims=0)
    executor = ht.Executor([found, *ht.gradients(loss, tables[:3])])
    batch = np.stack(BATCHES[:2]).astype(element)
    ours, *gradients = executor.run(feed_dict={ids: batch}, convert_to_numpy_ret_vals=True)

    params = [torch.tensor(w, requires_grad=True) for w in weights()]
    params[3] = params[1]
    rows = [p[torch.tensor(batch[..., i]).long()] for i, p in enumerate(params)]
    theirs = torch.cat(rows, -1)
    (
        theirs.square().sum() + (params[1] @ torch.tensor([[1.0, 2], [3, 4], [5, 6]])).sum()
    ).backward()
    np.testing.assert_array_equal(ours, theirs.detach())
    for gradient, param in zip(gradients, params, strict=False):
        np.testing.assert_allclose(gradient, param.grad, RTOL, ATOL)
    assert notes(executor, "default") == [""]


def test_no_rows() -> None:
    tables, ids = variables(), ht.Variable(name="ids", dtype=np.int64)
    found = side_by_side(tables, ids)
    executor = ht.Executor([found, *ht.gradients(found, tables)])
    feeds = {ids: np.zeros((0, COUNT), np.int64)}
    ours, *gradients = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    assert ours.shape == (0, COUNT * WIDTH)
    assert [g.shape for g in gradients] == [w.shape for w in weights()]
    assert not any(g.any() for g in gradients)


def test_derivatives_of_derivatives() -> None:
    tables, ids = variables(), ht.Variable(name="ids", dtype=np.int64)
    found = side_by_side(tables, ids)
    (first,) = ht.gradients(found * found * found, tables[:1])
    (second,) = ht.gradients(first * first, tables[:1])
    executor = ht.Executor([second])
    (ours,) = executor.run(feed_dict={ids: BATCHES[0]}, convert_to_numpy_ret_vals=True)
    counts = np.bincount(BATCHES[0][:, 0] % 4, minlength=4)[:, None]
    np.testing.assert_allclose(ours, 36 * counts**2 * weights()[0] ** 3, RTOL)
    assert notes(executor, "default") == ["it is differentiated twice"]


def near_miss(kind: str, tables: list[Any], ids: Any) -> Any:
    columns = [ht.op.Gather(ids, ht.constant(np.int64(i)), axis=1) for i in range(COUNT)]
    if kind == "computed":
        tables = [table * 2.0 for table in tables]
    if kind == "few":
        tables = tables[:3]
    axis = 1 if kind == "axis" else 0
    rows = [ht.op.Gather(t, c, axis=axis) for t, c in zip(tables, columns, strict=False)]
    return ht.op.Concat(*rows, axis=0 if kind in ("axis", "below") else -1)


@pytest.mark.parametrize("kind", ["computed", "few", "axis", "below"])
def test_near_misses(kind: str) -> None:
    ids = ht.Variable(name="ids", dtype=np.int64)
    tables = variables()
    found = near_miss(kind, tables, ids)
    batch = BATCHES[0] % WIDTH
    results = []
    for optimize in (False, True):
        executor = ht.Executor([found, *ht.gradients(found * found, tables)], optimize=optimize)
        results.append(executor.run(feed_dict={ids: batch}, convert_to_numpy_ret_vals=True))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert notes(executor, "default") == []


def test_tables_of_integers() -> None:
    ids, w = ht.Variable(name="ids", dtype=np.int64), ht.Variable(name="w", value=FACTORS)
    tables = [ht.constant(np.arange(24).reshape(8, 3)) for _ in range(COUNT)]
    found = ht.op.Cast(side_by_side(tables, ids), to=1)
    executor = ht.Executor([found, *ht.gradients(found * w, [w])])
    ours, gradient = executor.run(feed_dict={ids: BATCHES[0]}, convert_to_numpy_ret_vals=True)
    expected = np.arange(24).reshape(8, 3)[BATCHES[0]].reshape(7, -1)
    np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(gradient, expected)
    assert notes(executor, "default") == ["the tables hold no floats"]
