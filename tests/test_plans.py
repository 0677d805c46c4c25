"""Plans: one per shape of the feeds, over weights prepared once, which follow every change."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import hetu as ht
from hetu.ops import native
from hetu.runtime.plan import MAX_PLANS

SIZE = 256
"""Products of this size are packed."""

OPTIMIZERS = {
    "sgd": lambda: ht.optim.SGDOptimizer(0.1),
    "momentum": lambda: ht.optim.MomentumOptimizer(0.1),
    "nesterov": lambda: ht.optim.MomentumOptimizer(0.1, nesterov=True),
    "adagrad": lambda: ht.optim.AdaGradOptimizer(0.1),
    "adam": lambda: ht.optim.AdamOptimizer(0.1),
    "adamw": lambda: ht.optim.AdamWOptimizer(0.1),
    "lamb": lambda: ht.optim.LambOptimizer(0.1),
}


def weight() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32) / 16


def rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, SIZE)).astype(np.float32)


def product(**options: object) -> tuple[ht.Executor, object, object]:
    """An executor of `x @ w`, and both."""
    x, w = ht.Variable(name="x", dtype="float32"), ht.Variable(name="w", value=weight())
    y = ht.matmul_op(x, w)
    return ht.Executor([y], **options), x, w


def assert_product(result: object, x: np.ndarray, w: np.ndarray) -> None:
    np.testing.assert_allclose(np.asarray(result), x @ w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_prepared_weights_follow_training(make) -> None:
    x, w = ht.Variable(name="x", dtype="float32"), ht.Variable(name="w", value=weight())
    y = ht.matmul_op(x, w)
    step = make().minimize(ht.op.ReduceMean(y * y))
    executor = ht.Executor({"train": [step], "validate": [y]})
    a = rows(64)
    for _ in range(2):
        assert_product(executor.run("validate", feed_dict={x: a})[0], a, executor.state_dict()["w"])
        before = executor.state_dict()["w"].copy()
        executor.run("train", feed_dict={x: a})
        assert not np.array_equal(before, executor.state_dict()["w"])
    assert_product(executor.run("validate", feed_dict={x: a})[0], a, executor.state_dict()["w"])
    notes = executor.explain("validate")
    assert any(note.fusion == "linear" and not note.reason for note in notes)


def test_prepared_weights_follow_what_is_loaded(tmp_path: Path) -> None:
    executor, x, _ = product()
    a = rows(64)
    executor.run(feed_dict={x: a})
    executor.load_dict({"w": weight() * 2})
    assert_product(executor.run(feed_dict={x: a})[0], a, weight() * 2)
    executor.save(str(tmp_path))
    executor.load_dict({"w": weight()})
    executor.run(feed_dict={x: a})
    executor.load(str(tmp_path))
    assert_product(executor.run(feed_dict={x: a})[0], a, weight() * 2)


def test_fed_weights_are_prepared_for_their_run_alone() -> None:
    executor, x, w = product()
    a = rows(64)
    for factor in (1, 3, 1):
        feeds = {x: a} if factor == 1 else {x: a, w: weight() * factor}
        assert_product(executor.run(feed_dict=feeds)[0], a, weight() * factor)


def test_products_of_weights_are_prepared_one_after_the_other() -> None:
    """What is packed to be multiplied with another weight is there when that is done."""
    sizes = (512, 600), (600, 700), (700, 512), (512, 512)
    random = np.random.default_rng(0)
    arrays = [random.normal(size=size).astype(np.float32) / 16 for size in sizes]
    x = ht.Variable(name="x", dtype="float32")
    first, *others = [ht.Variable(name=f"w{i}", value=w) for i, w in enumerate(arrays)]
    merged, expected = first, arrays[0].astype(np.float64)
    for weight, array in zip(others, arrays[1:], strict=True):
        merged, expected = ht.op.MatMul(merged, weight), expected @ array
    executor = ht.Executor([ht.op.MatMul(x, merged)])
    a = rows(64)[:, :1].repeat(512, 1)
    for _ in range(3):
        (result,) = executor.run(feed_dict={x: a}, convert_to_numpy_ret_vals=True)
        np.testing.assert_allclose(result, a @ expected, rtol=1e-4, atol=1e-4)


def test_weights_written_in_place_are_seen() -> None:
    executor, x, w = product()
    a = rows(64)
    executor.run(feed_dict={x: a})
    held = executor.store.own(w)
    for factor in (2, 4, 8):
        with torch.no_grad():
            held.mul_(2)
        assert_product(executor.run(feed_dict={x: a})[0], a, weight() * factor)
        assert_product(executor.run(feed_dict={x: a})[0], a, weight() * factor)


def test_more_shapes_than_plans() -> None:
    executor, x, _ = product()
    for count in [*range(1, 2 * MAX_PLANS), MAX_PLANS + 4, MAX_PLANS + 4, 1]:
        a = rows(count)
        assert_product(executor.run(feed_dict={x: a})[0], a, weight())
    (plans,) = executor.subexecutor["default"]._plans.values()
    assert len(plans._by_shapes) == MAX_PLANS


def test_plans_share_prepared_weights() -> None:
    """One packed copy serves all numbers of rows."""
    executor, x, _ = product()
    for count in (16, 17, 300):
        executor.run(feed_dict={x: rows(count)})
    (plans,) = executor.subexecutor["default"]._plans.values()
    held = [plan.preparation.tensors for plan in plans._by_shapes.values()]
    assert len(held) == 3 and len({id(tensor) for (tensor,) in held}) == 1


def test_convolutions_have_the_form_that_is_best_for_each_shape() -> None:
    """oneDNN can take tenfold on weights in another form; plans that want the same share it."""
    w = np.random.default_rng(0).normal(size=(64, 1024, 1, 1)).astype(np.float32)
    x = ht.Variable(name="x", dtype="float32")
    executor = ht.Executor([ht.op.Conv(x, ht.Variable(name="w", value=w))])
    shapes = [(batch, 1024, size, size) for batch in (1, 2, 9) for size in (2, 7, 14)]
    for shape in shapes:
        executor.run(feed_dict={x: np.zeros(shape, np.float32)})
    (plans,) = executor.subexecutor["default"]._plans.values()
    held = [plan.preparation.tensors[0] for plan in plans._by_shapes.values()]
    forms = [native.packed_form(tensor) for tensor in held]
    plain = (0, 0, 0, 0), None, (1, 1), (1, 1), 1
    packed = [native.pack_convolution(torch.from_numpy(w), plain, shape) for shape in shapes]
    assert forms == [native.packed_form(tensor) for tensor in packed]
    assert len({id(tensor) for tensor in held}) == len(set(forms)) < len(shapes)


def test_large_weights_are_packed_once() -> None:
    """In oneDNN's order they may be padded, and so be larger than they are."""
    w = np.zeros((2049, 2051), np.float32)
    x = ht.Variable(name="x", dtype="float32")
    executor = ht.Executor([ht.op.MatMul(x, ht.Variable(name="w", value=w))])
    executor.run(feed_dict={x: np.zeros((4, 2049), np.float32)})
    assert "linear" in executor.source() and "pack" not in executor.source()


def test_long_chains_of_weights() -> None:
    """What is prepared may be thousands of steps away from the weights, and joined on the way."""
    x, w = ht.Variable(name="x", dtype="float32"), ht.Variable(name="w", value=np.float32([1, 2]))
    chain = w
    for _ in range(2000):
        chain = ht.op.Add(chain * np.float32(0.5), chain * np.float32(0.5))
    step = ht.optim.SGDOptimizer(0.5).minimize(ht.op.ReduceSum(w * x))
    executor = ht.Executor({"infer": [chain + x], "train": [step]})
    zeros, ones = np.zeros(2, np.float32), np.ones(2, np.float32)
    for wanted in ([1, 2], [0.5, 1.5], [0, 1]):
        (result,) = executor.run("infer", feed_dict={x: zeros})
        np.testing.assert_array_equal(result.asnumpy(), wanted)
        executor.run("train", feed_dict={x: ones})


def test_equal_inputs_give_equal_bits() -> None:
    """Results do not depend on what ran before."""
    executor, x, _ = product()
    a = rows(32)
    first = executor.run(feed_dict={x: a})[0].asnumpy()
    executor.run(feed_dict={x: rows(7)})
    fresh, y, _ = product()
    fresh.run(feed_dict={y: rows(5)})
    for run in (executor.run(feed_dict={x: a}), fresh.run(feed_dict={y: a})):
        np.testing.assert_array_equal(run[0].asnumpy(), first)


def test_results_are_the_callers_own() -> None:
    """What is computed from weights alone is kept, and handed out as a copy."""
    w = ht.Variable(name="w", value=weight())
    executor = ht.Executor([ht.op.Transpose(w), ht.op.Transpose(w) * 2.0])
    for _ in range(2):
        one, two = (r.asnumpy() for r in executor.run())
        np.testing.assert_array_equal(one, weight().T)
        np.testing.assert_array_equal(two, weight().T * 2)
        one[:], two[:] = 0, 0


def test_shapes_are_no_part_of_the_source() -> None:
    """Shape arithmetic is done once for feeds of a shape."""
    x = ht.Variable(name="x", dtype="float32")
    size = ht.op.Gather(ht.op.Shape(x), np.int64([0]))
    y = ht.op.Reshape(ht.op.Relu(x), ht.op.Concat(size, np.int64([-1]), axis=0))
    executor = ht.Executor([y])
    for count in (2, 3):
        a = np.random.default_rng(count).normal(size=(count, 2, 3)).astype(np.float32)
        (result,) = executor.run(feed_dict={x: a})
        np.testing.assert_array_equal(result.asnumpy(), np.maximum(a, 0).reshape(count, 6))
        assert "shape_" not in executor.source().replace("reshape_", "")


def test_without_optimization_every_node_runs() -> None:
    executor, x, _ = product(optimize=False)
    a = rows(64)
    assert_product(executor.run(feed_dict={x: a})[0], a, weight())
    assert "mat_mul" in executor.source()
    assert not executor.explain()


def test_shapes_of_what_trains_are_constants() -> None:
    """A mean, and a reshape, as older exporters write them: by the shape of what is trained."""
    x, w = ht.Variable(name="x", dtype="float32"), ht.Variable(name="w", value=np.float32([[3, 1]]))
    y = x * w
    rows, columns = (ht.op.Gather(ht.op.Shape(y), ht.constant(np.int64([i]))) for i in range(2))
    flat = ht.op.Reshape(y, ht.op.Mul(rows, columns))
    count = ht.op.Cast(ht.op.Squeeze(rows), to=1)
    loss = ht.op.ReduceSum(flat * flat, keepdims=0) / count
    executor = ht.Executor([loss, *ht.gradients(loss, [w, y])])
    for length in (2, 5):
        feed = np.arange(2.0 * length, dtype=np.float32).reshape(length, 2)
        found, for_w, for_y = executor.run(feed_dict={x: feed}, convert_to_numpy_ret_vals=True)
        scaled = feed * np.float32([3, 1])
        np.testing.assert_allclose(found, (scaled**2).sum() / length, 1e-6)
        np.testing.assert_allclose(for_y, 2 * scaled / length, 1e-6)
        np.testing.assert_allclose(for_w, (2 * scaled * feed / length).sum(0, keepdims=True), 1e-6)
        assert not re.search(r"\b(shape|gather|squeeze|cast)_", executor.source())


def test_what_known_elements_decide_is_differentiated() -> None:
    c = ht.constant(np.float32([2, 5]))
    inner = c * c
    y = inner * inner * ht.op.Cast(ht.op.Size(inner), to=1)
    executor = ht.Executor([y, *ht.gradients(y, [c, inner])])
    found, for_c, for_inner = executor.run(convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(found, [2 * 2**4, 2 * 5**4])
    np.testing.assert_allclose(for_c, [8 * 2**3, 8 * 5**3])
    np.testing.assert_allclose(for_inner, [4 * 2**2, 4 * 5**2])


def test_constant_indices_of_any_shape() -> None:
    """Their numbers decide no shapes; a table of shapes that they choose from decides some."""
    feed, table = rows(5), np.arange(SIZE)
    x = ht.Variable(name="x", dtype="float32")
    chosen = [3, -1, [2], [[0, 4], [1, 1]], [4, 0, 2], [1, 1, 1]]
    picked = [ht.op.Gather(x, ht.op.Constant(value=np.array(c)), axis=0) for c in chosen]
    sizes = [ht.op.Gather(ht.op.Shape(x), ht.op.Constant(value=np.array([c]))) for c in (0, 1)]
    counted = [ht.op.Expand(ht.op.Gather(x, np.array(0), axis=1), size) for size in sizes[:1]]
    filled = [ht.op.ConstantOfShape(size) for size in sizes]
    executor = ht.Executor([*picked, *counted, *filled, ht.op.Gather(table, np.array([7]))])
    found = executor.run(feed_dict={x: feed}, convert_to_numpy_ret_vals=True)
    wanted = [feed[c] for c in chosen] + [feed[:, 0], np.zeros(5), np.zeros(SIZE), table[[7]]]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
