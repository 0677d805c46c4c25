"""Gradients as values of the graph."""

import numpy as np
import onnx
import pytest
import torch

import hetu as ht
from hetu.errors import UsageError

X = np.float32([[0.5, -1.0, 2.0], [1.5, 0.2, -0.3]])
W = np.float32([[1.0, 2.0], [-0.5, 0.3], [0.7, -1.1]])


def run(*values: ht.Value, **feeds: np.ndarray) -> list[np.ndarray]:
    return ht.Executor(list(values)).run(feed_dict=feeds, convert_to_numpy_ret_vals=True)


def test_of_feeds_variables_and_inner_values() -> None:
    x, w = ht.Variable(name="x"), ht.Variable(name="w", value=W)
    hidden = x @ w
    y = ht.sigmoid_op(hidden)
    grads = run(*ht.gradients(y, [x, w, hidden]), x=X)

    tx, tw = torch.tensor(X, requires_grad=True), torch.tensor(W, requires_grad=True)
    th = tx @ tw
    th.retain_grad()
    torch.sigmoid(th).sum().backward()
    for ours, theirs in zip(grads, (tx.grad, tw.grad, th.grad), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_are_ordinary_values() -> None:
    x = ht.Variable(name="x")
    (g,) = ht.gradients(x * x * x, [x])
    (penalty,) = run(ht.op.ReduceSum(g * g, keepdims=0), x=X)
    np.testing.assert_allclose(penalty, ((3 * X**2) ** 2).sum(), rtol=1e-6)


def test_of_gradients() -> None:
    x = ht.Variable(name="x")
    (first,) = ht.gradients(x * x * x, [x])
    (second,) = ht.gradients(first, [x])
    (third,) = ht.gradients(second, [x])
    results = run(first, second, third, x=X)
    for ours, expected in zip(results, (3 * X**2, 6 * X, np.full_like(X, 6)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_of_several_outputs_with_seeds() -> None:
    x, seed = ht.Variable(name="x"), ht.Variable(name="seed")
    (g,) = ht.gradients([x * 2.0, x * x], [x], insert_grad=[seed, seed])
    (result,) = run(g, x=X, seed=X)
    np.testing.assert_allclose(result, (2 + 2 * X) * X, rtol=1e-6)


def test_of_what_is_not_reached_is_zero() -> None:
    x, other = ht.Variable(name="x"), ht.Variable(name="other", value=W)
    (g,) = ht.gradients(x * 2.0, [other])
    np.testing.assert_array_equal(run(g, x=X)[0], np.zeros_like(W))


def test_a_shared_variable_sums_its_uses() -> None:
    w = ht.Variable(name="w", value=W)
    (g,) = ht.gradients(ht.op.MatMul(ht.op.Transpose(w, perm=[1, 0]), w), [w])
    t = torch.tensor(W, requires_grad=True)
    (t.T @ t).sum().backward()
    np.testing.assert_allclose(run(g)[0], t.grad, rtol=1e-6)


def test_through_a_branch_that_captures() -> None:
    x, w = ht.Variable(name="x"), ht.Variable(name="w", value=W)
    flag = ht.Variable(name="flag", dtype=np.bool_)
    y = ht.op.If(
        flag,
        then_branch=ht.body(lambda: x @ w),
        else_branch=ht.body(lambda: (x @ w) * 3.0),
        outputs=1,
    )
    (g,) = ht.gradients(y, [w])
    expected = np.broadcast_to(X.sum(0)[:, None], W.shape)
    np.testing.assert_allclose(run(g, x=X, flag=True)[0], expected, rtol=1e-6)
    np.testing.assert_allclose(run(g, x=X, flag=False)[0], 3 * expected, rtol=1e-6)


def test_integers_have_none() -> None:
    ids = ht.Variable(name="ids", dtype=np.int64)
    with pytest.raises(UsageError, match="'ids' is int64"):
        ht.gradients(ids * 2, [ids])


def test_seeds_must_match() -> None:
    x = ht.Variable(name="x")
    with pytest.raises(UsageError, match="1 outputs, but 2 seeds"):
        ht.gradients(x, [x], insert_grad=[x, x])


def test_of_constants_that_others_are_computed_from() -> None:
    """What could be folded into a constant is not, where its gradient is asked for."""
    model = ht.onnx.load_onnx(
        onnx.parser.parse_model("""<ir_version: 9, opset_import: ["" : 20]>
        g (float[N] x) => (float[N] y) <float temperature = {2}>
        { e = Exp (temperature) y = Mul (x, e) }""")
    )
    gradients = ht.gradients(model.outputs["y"], [model.variables["temperature"]])
    (result,) = run(*gradients, x=np.float32([1, 2]))
    np.testing.assert_allclose(result, 3 * np.exp(2), rtol=1e-6)
