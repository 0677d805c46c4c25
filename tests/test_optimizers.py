"""Update rules against their formulas, and checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hetu as ht
from hetu.errors import UsageError

START = np.array([[1.0, -2.0], [0.5, 3.0]])
RATES = [0.1, 0.1, 0.05, 0.05, 0.02, 0.02]


def gradient(p: np.ndarray) -> np.ndarray:
    """Of `sum(p**4) / 4`."""
    return p**3


def sgd(l2: float = 0.0) -> Callable[..., np.ndarray]:
    def rule(p: np.ndarray, g: np.ndarray, lr: float, state: dict[str, Any], t: int) -> np.ndarray:
        return p - lr * (g + l2 * p)

    return rule


def momentum(nesterov: bool) -> Callable[..., np.ndarray]:
    def rule(p: np.ndarray, g: np.ndarray, lr: float, state: dict[str, Any], t: int) -> np.ndarray:
        v = state.get("v", 0.0)
        if nesterov:
            state["v"] = 0.9 * (v - lr * g)
            return p + state["v"] - lr * g
        state["v"] = 0.9 * v - lr * g
        return p + state["v"]

    return rule


def adagrad(p: np.ndarray, g: np.ndarray, lr: float, state: dict[str, Any], t: int) -> np.ndarray:
    state["a"] = state.get("a", 0.25) + g**2
    return p - lr * g / (np.sqrt(state["a"]) + 1e-7)


def moments(g: np.ndarray, state: dict[str, Any], t: int) -> tuple[np.ndarray, np.ndarray]:
    state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * g
    state["v"] = 0.99 * state.get("v", 0.0) + 0.01 * g**2
    return state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.99**t)


def adam(p: np.ndarray, g: np.ndarray, lr: float, state: dict[str, Any], t: int) -> np.ndarray:
    m, v = moments(g, state, t)
    return p - lr * m / (np.sqrt(v) + 1e-6)


def adamw(p: np.ndarray, g: np.ndarray, lr: float, state: dict[str, Any], t: int) -> np.ndarray:
    m, v = moments(g, state, t)
    return p - lr * (m / (np.sqrt(v) + 1e-6) + 0.3 * p)


def lamb(p: np.ndarray, g: np.ndarray, lr: float, state: dict[str, Any], t: int) -> np.ndarray:
    m, v = moments(g, state, t)
    update = m / (np.sqrt(v) + 1e-6)
    ratio = np.linalg.norm(p) / np.linalg.norm(update)
    return p - lr * ratio * (update + 0.3 * p)


BETAS = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-6}
RULES = {
    "sgd": (lambda lr: ht.optim.SGDOptimizer(lr), sgd()),
    "sgd_l2": (lambda lr: ht.optim.SGDOptimizer(lr, l2reg=0.2), sgd(0.2)),
    "momentum": (lambda lr: ht.optim.MomentumOptimizer(lr, 0.9), momentum(False)),
    "nesterov": (lambda lr: ht.optim.MomentumOptimizer(lr, 0.9, nesterov=True), momentum(True)),
    "adagrad": (lambda lr: ht.optim.AdaGradOptimizer(lr, 0.25), adagrad),
    "adam": (lambda lr: ht.optim.AdamOptimizer(lr, **BETAS), adam),
    "adamw": (lambda lr: ht.optim.AdamWOptimizer(lr, **BETAS, weight_decay=0.3), adamw),
    "lamb": (lambda lr: ht.optim.LambOptimizer(lr, **BETAS, weight_decay=0.3), lamb),
}
rules = pytest.mark.parametrize("name", RULES)


def build(make: Callable[[Any], Any]) -> tuple[ht.Executor, ht.lr.StepScheduler]:
    """Training of one variable in float64; the rate halves and more, see `RATES`."""
    schedule = ht.lr.MultiStepScheduler(0.1, [2, 4])
    p = ht.Variable(name="p", value=START, dtype=np.float64)
    loss = ht.op.ReduceSum(ht.op.Pow(p, 4.0), keepdims=0) * 0.25
    train_op = make(schedule).minimize(loss)
    return ht.Executor({"train": [loss, train_op]}, seed=3), schedule


@rules
def test_rule(name: str) -> None:
    make, rule = RULES[name]
    optimizer = make(0.1)
    p = ht.Variable(name="p", value=START, dtype=np.float64)
    loss = ht.op.ReduceSum(ht.op.Pow(p, 4.0), keepdims=0) * 0.25
    executor = ht.Executor([loss, optimizer.minimize(loss)])
    expected, state = START.copy(), {}
    for t, rate in enumerate(RATES, start=1):
        optimizer.lr_sched.learning_rate = rate
        executor.run()
        expected = rule(expected, gradient(expected), rate, state, t)
        np.testing.assert_allclose(executor.state_dict()["p"], expected, rtol=1e-10)


@rules
def test_training_resumes_bit_equal(name: str, tmp_path: Path) -> None:
    make, _ = RULES[name]
    first, schedule = build(make)
    for _ in range(3):
        schedule.step()
        first.run("train")
    first.save(str(tmp_path), "checkpoint", others={"epoch": 3})
    second, resumed = build(make)
    second.run("train")
    assert second.load(str(tmp_path), "checkpoint") == {"epoch": 3}
    for _ in range(4):
        assert schedule.step() == resumed.step()
        a, b = first.run("train")[0], second.run("train")[0]
        np.testing.assert_array_equal(a.asnumpy(), b.asnumpy())
    np.testing.assert_array_equal(first.state_dict()["p"], second.state_dict()["p"])


def test_checkpoint_of_another_shape(tmp_path: Path) -> None:
    make, _ = RULES["sgd"]
    executor, _ = build(make)
    executor.save(str(tmp_path))
    other = ht.Executor([ht.Variable(name="p", value=np.zeros(3)) * 1.0])
    with pytest.raises(UsageError, match=r"'p': the checkpoint has shape \[2, 2\]"):
        other.load(str(tmp_path))


def test_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(b"nothing of the kind")
    executor, _ = build(RULES["sgd"][0])
    with pytest.raises(UsageError, match="is no checkpoint"):
        executor.load(str(tmp_path))


def test_frozen_variables_stay() -> None:
    a = ht.Variable(name="a", value=START)
    b = ht.Variable(name="b", value=START, trainable=False)
    loss = ht.op.ReduceSum(a * b, keepdims=0)
    executor = ht.Executor([loss, ht.optim.SGDOptimizer(0.1).minimize(loss)])
    executor.run()
    np.testing.assert_allclose(executor.state_dict()["a"], START - 0.1 * START, rtol=1e-6)
    np.testing.assert_array_equal(executor.state_dict()["b"], START.astype(np.float32))


def test_nothing_to_train() -> None:
    x = ht.Variable(name="x")
    with pytest.raises(UsageError, match="no trainable variable"):
        ht.optim.SGDOptimizer(0.1).minimize(x * 2.0)


def test_the_array_a_variable_was_made_of_stays() -> None:
    array = START.astype(np.float32)
    p = ht.Variable(name="p", value=array)
    loss = ht.op.ReduceSum(p * p, keepdims=0)
    ht.Executor([loss, ht.optim.SGDOptimizer(0.1).minimize(loss)]).run()
    np.testing.assert_array_equal(array, START.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_step_in_every_type(dtype: str) -> None:
    """torch's fused steps do nothing to 16-bit numbers."""
    w = ht.Variable(name="w", value=np.ones(4, np.float32), dtype=dtype)
    executor = ht.Executor([ht.optim.SGDOptimizer(0.5).minimize(ht.op.ReduceSum(w))])
    executor.run()
    np.testing.assert_array_equal(executor.state_dict()["w"].astype(np.float32), [0.5] * 4)
