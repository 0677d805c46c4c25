"""Products in training by oneDNN: torch's own results and gradients, wherever operands lie."""

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

import hetu as ht
from hetu.ops import measure, native, products
from hetu.ops.products import LARGEST_MEASURED, Choice, choose, trained_product
from tests.test_native import placed, random

EVERY = Choice(True, True, True)


@pytest.mark.parametrize("shape", [(24,), (3, 8)])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("side", range(3))
def test_gradients(shape: tuple[int, ...], has_bias: bool, side: int) -> None:
    x, w, bias = random(*shape, 20), random(12, 20), random(12) if has_bias else None
    choice = Choice(*(i == side for i in range(3)))
    for x_placed in placed(x):
        for w_placed in placed(w):
            results = []
            for function in (lambda *g: trained_product(*g, choice), F.linear):
                leaves = [x_placed.clone().requires_grad_(), w_placed.clone().requires_grad_()]
                leaves += [] if bias is None else [bias.clone().requires_grad_()]
                y = function(*leaves, *[None] * (3 - len(leaves)))
                results.append([y, *torch.autograd.grad(y, leaves, random(*y.shape))])
            torch.testing.assert_close(*results, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("choice", [EVERY, Choice(True, True, False)])
@pytest.mark.parametrize("rows", [1, 8])
def test_gradients_lie_as_their_weights_do(rows: int, choice: Choice) -> None:
    """Or else optimizers, which want that, copy each of them in another order."""
    weight = random(20, 12).requires_grad_()
    for w in (weight, weight.t()):
        x = random(rows, w.shape[1])
        y = trained_product(x, w, None, choice)
        (gradient,) = torch.autograd.grad(y, weight, random(*y.shape))
        assert gradient.is_contiguous()


SHAPES = (384, 512), (256, 512)


def train(optimize: bool) -> tuple[ht.Executor, list[np.ndarray]]:
    x = ht.Variable(name="x", dtype="float32")
    w = [ht.Variable(name=f"w{i}", value=random(*s).numpy() / 16) for i, s in enumerate(SHAPES)]
    b = ht.Variable(name="b", value=random(256).numpy())
    y = ht.op.Gemm(ht.op.Tanh(ht.op.MatMul(x, w[0])), w[1], b, transB=True)
    loss = ht.op.ReduceMean(y * y, keepdims=False)
    step = ht.optim.MomentumOptimizer(0.1).minimize(loss)
    executor = ht.Executor([loss, step], optimize=optimize)
    feeds = {x: random(64, 384).numpy()}
    return executor, [executor.run(feed_dict=feeds)[0].asnumpy() for _ in range(5)]


def test_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_measured", lambda *sizes: EVERY)
    (executor, ours), (_, plain) = train(True), train(False)
    notes = [note for note in executor.explain() if note.fusion == "trained linear"]
    assert [note.reason for note in notes] == [""] * 2
    np.testing.assert_allclose(ours, plain, rtol=1e-4)
    assert ours[-1] < ours[0]


@pytest.mark.parametrize(
    ("has_library", "large", "cost", "expected"),
    [
        (False, 0.5, 5.0, (False, False, False)),
        (False, 0.5, 1.1, (True, True, False)),
        (False, 0.5, 0.5, (True, True, True)),
        (True, 0.5, 5.0, (False, False, False)),
        (True, 0.5, 1.1, (True, True, True)),
        (True, 0.9, 0.9, (False, False, False)),
        (True, 0.9, 0.5, (True, True, True)),
    ],
)
def test_the_choice_is_measured(
    has_library: bool,
    large: float,
    cost: float,
    expected: tuple[bool, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The usual way is what a large product shows; another has to be much faster.

    The clock is the test's: BLAS takes a second, oneDNN `large` of them for the large product and
    `cost` for others.
    """
    taken = []

    def seconds(function: partial[torch.Tensor]) -> float:
        is_large = function.args[0].shape == (LARGEST_MEASURED, LARGEST_MEASURED)
        taken.append(1.0 if function.func is torch.mm else large if is_large else cost)
        return taken[-1]

    monkeypatch.setattr(native, "has_wide_products", lambda: True)
    monkeypatch.setattr(native, "has_library", lambda: has_library)
    monkeypatch.setattr(measure, "_seconds", seconds)
    products._measured.cache_clear()
    products._suits_onednn.cache_clear()
    try:
        assert choose(300, 400, 500) == Choice(*expected)
        assert set(taken) == {1.0, large, cost}
        taken.clear()
        assert choose(300, 400, 500) == Choice(*expected) and not taken
        monkeypatch.setattr(native, "has_wide_products", lambda: False)
        assert not any(choose(304, 400, 500))
    finally:
        products._measured.cache_clear()
        products._suits_onednn.cache_clear()
