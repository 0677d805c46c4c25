"""Checkpoints: training resumes bit-equal; what is broken or foreign changes nothing."""

import math
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import hetu as ht
from hetu.errors import UsageError

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda lr: ht.optim.SGDOptimizer(lr, l2reg=0.01),
    "momentum": lambda lr: ht.optim.MomentumOptimizer(lr, nesterov=True),
    "adagrad": lambda lr: ht.optim.AdaGradOptimizer(lr, initial_accumulator_value=0.1),
    "adam": lambda lr: ht.optim.AdamOptimizer(lr),
    "amsgrad": lambda lr: ht.optim.AMSGradOptimizer(lr),
    "adamw": lambda lr: ht.optim.AdamWOptimizer(lr, weight_decay=0.1),
    "lamb": lambda lr: ht.optim.LambOptimizer(lr, weight_decay=0.1),
}

RANDOM = np.random.default_rng(0)
TABLE, WEIGHT = (RANDOM.standard_normal(s).astype(np.float32) for s in ((11, 4), (4, 3)))
IDS = RANDOM.integers(0, 11, (40, 2)).astype(np.int32)
TARGETS = RANDOM.standard_normal((40, 3)).astype(np.float32)


def build(name: str, seed: int = 0) -> tuple[ht.Executor, Any]:
    """A net with a table, batch statistics and two kinds of dropout, fed by shuffled loaders."""
    ids = ht.dataloader_op([ht.Dataloader(IDS, 8, "train", shuffle=True, dtype=np.int32)])
    targets = ht.dataloader_op([ht.Dataloader(TARGETS, 8, "train", shuffle=True)])
    table = ht.Variable(name="a/b.c:0", value=TABLE)
    weight = ht.Variable(name="hetu:w ä", value=WEIGHT)
    scale, shift = (ht.Variable(name=n, value=np.full(4, v)) for n, v in (("s", 1.0), ("h", 0.0)))
    mean = ht.Variable(name="mean", value=np.zeros(4), trainable=False)
    var = ht.Variable(name="var", value=np.ones(4), trainable=False)
    rows = ht.op.ReduceSum(ht.embedding_lookup_op(table, ids), np.array([1]), keepdims=0)
    rows = ht.op.BatchNormalization(rows, scale, shift, mean, var)
    rows = drop(drop(rows, None), 7)
    loss = ht.op.ReduceMean((rows @ weight - targets) ** 2, keepdims=0) * 0.01
    is_sgd = name == "sgd"  # whose rate starts as an int here
    schedule = ht.lr.StepScheduler(1, 2, 0.5) if is_sgd else ht.lr.ExponentialScheduler(0.1)
    train = OPTIMIZERS[name](schedule).minimize(loss)
    return ht.Executor({"train": [loss, train]}, seed=seed), schedule


def drop(x: Any, seed: int | None) -> Any:
    options = {} if seed is None else {"seed": seed}
    return ht.op.Dropout(x, np.float32(0.3), outputs=1, **options)


def train(executor: ht.Executor, schedule: Any, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        schedule.step()
        losses.append(float(executor.run("train")[0].asnumpy()))
    return losses


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_resumes_bit_equal(name: str, tmp_path: Path) -> None:
    ht.random.set_random_seed(3)
    first = build(name)
    train(*first, 4)
    first[0].save(str(tmp_path), "c", {"epoch": 4})
    expected = train(*first, 4)
    ht.random.set_random_seed(5)
    second = build(name, seed=9)
    train(*second, 1)
    assert second[0].load(str(tmp_path), "c") == {"epoch": 4}
    assert train(*second, 4) == expected
    for key, value in first[0].state_dict().items():
        np.testing.assert_array_equal(second[0].state_dict()[key], value)


def test_variables_are_under_their_names(tmp_path: Path) -> None:
    executor, schedule = build("adam")
    train(executor, schedule, 2)
    executor.save(str(tmp_path), "c")
    tensors = load_file(tmp_path / "c")
    for name, value in executor.state_dict().items():
        np.testing.assert_array_equal(tensors[name], value)


def test_other_safetensors_with_the_names(tmp_path: Path) -> None:
    executor, _ = build("adam")
    state = {n: np.full_like(v, 0.5) for n, v in executor.state_dict().items()}
    save_file(state, tmp_path / "c")
    with pytest.warns(UserWarning, match="no state of some optimizers"):
        executor.load(str(tmp_path), "c")
    assert all((v == 0.5).all() for v in executor.state_dict().values())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def without_weight(path: Path) -> None:
    save_file({n: t for n, t in load_file(path).items() if n != "s"}, path)


def without_moment(path: Path) -> None:
    rewrite(path, lambda name, t: None if name.endswith("/s/exp_avg") else t)


def reshaped_moment(path: Path) -> None:
    rewrite(path, lambda name, t: t[:1] if name.endswith("/s/exp_avg") else t)


def rewrite(path: Path, change: Callable[[str, Any], Any]) -> None:
    from safetensors import safe_open

    with safe_open(path, "np") as opened:
        metadata = opened.metadata()
    tensors = {n: change(n, t) for n, t in load_file(path).items()}
    save_file({n: t.copy() for n, t in tensors.items() if t is not None}, path, metadata)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, "is no checkpoint"),
        (lambda path: path.write_bytes(b""), "is no checkpoint"),
        (lambda path: path.write_bytes(b"\x80\x04nonsense"), "is no pickle of arrays"),
        (lambda path: path.unlink(), "is no checkpoint"),
        (without_weight, "lacks 's'"),
        (without_moment, r"optimizer state of 's': the checkpoint has .*; the optimizer keeps"),
        (reshaped_moment, r"optimizer state exp_avg of 's': the checkpoint has shape \[1\]"),
    ],
)
def test_nothing_is_half_loaded(spoil: Any, message: str, tmp_path: Path) -> None:
    executor, schedule = build("adam")
    train(executor, schedule, 2)
    executor.save(str(tmp_path), "c")
    before = train(executor, schedule, 1), executor.state_dict()
    spoil(tmp_path / "c")
    kept = {n: v.copy() for n, v in before[1].items()}
    with pytest.raises(UsageError, match=message):
        executor.load(str(tmp_path), "c")
    for name, value in executor.state_dict().items():
        np.testing.assert_array_equal(value, kept[name])


# Hetu's own forms -------------------------------------------------------------------------------


def simple(optimizer: Any) -> ht.Executor:
    w = ht.Variable(name="w", value=np.zeros((2, 2)))
    b = ht.Variable(name="scope/b", value=np.zeros(2))
    count = ht.Variable(name="count", value=np.zeros(1), trainable=False)
    loss = ht.op.ReduceSum((w + b) ** 2 * count, keepdims=0)
    return ht.Executor([loss, optimizer.minimize(loss)])


ARRAYS = {
    "w": np.float32([[1, 2], [3, 4]]),
    "scope/b": np.float32([5, 6]),
    "count": np.float32([1]),
}


def test_folder_of_arrays(tmp_path: Path) -> None:
    (tmp_path / "scope").mkdir()
    for name, array in ARRAYS.items():
        np.save(tmp_path / f"{name}.npy", array)
    executor = simple(ht.optim.SGDOptimizer(0.1))
    executor.load(str(tmp_path))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(executor.state_dict()[name], array)


def test_folder_with_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(UsageError, match="is no checkpoint"):
        simple(ht.optim.SGDOptimizer(0.1)).load(str(tmp_path))


def test_pickle_of_the_trainables(tmp_path: Path) -> None:
    content = {n: a for n, a in ARRAYS.items() if n != "count"} | {"gone": np.zeros(3)}
    (tmp_path / "c.bin").write_bytes(pickle.dumps(content))
    executor = simple(ht.optim.SGDOptimizer(0.1))
    with pytest.warns(UserWarning, match=r"no place for 'gone'; without 'count'"):
        executor.load(str(tmp_path), "c.bin")
    np.testing.assert_array_equal(executor.state_dict()["w"], ARRAYS["w"])


def test_pickle_without_a_trainable(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(pickle.dumps({"w": ARRAYS["w"]}))
    executor = simple(ht.optim.SGDOptimizer(0.1))
    with pytest.raises(UsageError, match="lacks 'scope/b'"):
        executor.load(str(tmp_path), "c")
    assert not executor.state_dict()["w"].any()


def test_pickle_with_optimizer_and_seed(tmp_path: Path) -> None:
    """The step after loading is Adam's, from the moments and the count that the file states."""
    t, rate, betas = 5, 0.1, (0.9, 0.999)
    m, v = np.float32([[0.1, 0.2], [0.3, 0.4]]), np.float32([[0.5, 0.6], [0.7, 0.8]])
    state = ARRAYS | {"w_adam_m": m, "w_adam_v": v}
    state |= {"scope/b_adam_m": m[0], "scope/b_adam_v": v[0]}
    state["betats_0"] = np.float32([betas[0] ** t, betas[1] ** t])
    content = {"state_dict": state, "seed": (12, 34), "epoch": 3}
    (tmp_path / "c").write_bytes(pickle.dumps(content, 4))
    executor = simple(ht.optim.AdamOptimizer(rate, *betas))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert executor.load(str(tmp_path), "c") == {"epoch": 3}
    assert ht.random.get_seed_status() == (12, 34)
    executor.run()
    g = 2 * (ARRAYS["w"] + ARRAYS["scope/b"])
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
    step = m / (1 - betas[0] ** (t + 1)) / (np.sqrt(v / (1 - betas[1] ** (t + 1))) + 1e-8)
    np.testing.assert_allclose(executor.state_dict()["w"], ARRAYS["w"] - rate * step, rtol=1e-5)


def test_betas_that_vanished(tmp_path: Path) -> None:
    """After many steps only the second power is left in float32."""
    state = ARRAYS | {"w_adam_m": ARRAYS["w"], "w_adam_v": ARRAYS["w"]}
    state["betats_3"] = np.float32([0, 0.999**5000])
    (tmp_path / "c").write_bytes(pickle.dumps({"state_dict": state}))
    executor = simple(ht.optim.AdamOptimizer(0.1))
    executor.load(str(tmp_path), "c")
    executor.save(str(tmp_path), "d")
    (step,) = (t for n, t in load_file(tmp_path / "d").items() if n.endswith("/w/step"))
    assert math.isclose(step, 5000)


def test_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "trace",)

    (tmp_path / "c").write_bytes(pickle.dumps({"w": Evil()}))
    with pytest.raises(UsageError, match="no pickle of arrays"):
        simple(ht.optim.SGDOptimizer(0.1)).load(str(tmp_path), "c")
    assert not (tmp_path / "trace").exists()
