"""Whole nets built with `ht.*`: the losses of plain torch with the same weights and data, and an
export that ONNX Runtime agrees with.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import hetu as ht

STEPS = 20
RTOL = 1e-4

Weights = dict[str, np.ndarray]


@dataclass(frozen=True)
class Net:
    """One net, twice: over `ht` values and over torch tensors. Both map (x, weights) to logits."""

    name: str
    shape: tuple[int, ...]
    classes: int
    weights: dict[str, tuple[int, ...]]
    build: Callable[[ht.Value, dict[str, ht.Value]], ht.Value]
    reference: Callable[[torch.Tensor, dict[str, torch.Tensor]], torch.Tensor]
    rank: int = 2


def build_cnn(x: ht.Value, w: dict[str, ht.Value]) -> ht.Value:
    z = ht.relu_op(ht.conv2d_op(x, w["w1"], padding=2, stride=1))
    z = ht.max_pool2d_op(z, 2, 2, 0, 2)
    z = ht.relu_op(ht.conv2d_add_bias_op(z, w["w2"], w["b2"], padding=1, stride=1))
    z = ht.avg_pool2d_op(z, 2, 2, 0, 2)
    return ht.matmul_op(ht.array_reshape_op(z, (-1, 8 * 3 * 3)), w["w3"]) + w["b3"]


def torch_cnn(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    z = F.max_pool2d(F.relu(F.conv2d(x, w["w1"], padding=2)), 2)
    z = F.avg_pool2d(F.relu(F.conv2d(z, w["w2"], w["b2"], padding=1)), 2)
    return z.flatten(1) @ w["w3"] + w["b3"]


def build_mlp(x: ht.Value, w: dict[str, ht.Value]) -> ht.Value:
    z = ht.relu_op(ht.linear_op(x, w["w1"], w["b1"]))
    z = ht.tanh_op(ht.linear_op(z, w["w2"], w["b2"]))
    return ht.linear_op(z, w["w3"], w["b3"])


def torch_mlp(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    z = F.relu(x @ w["w1"] + w["b1"])
    return torch.tanh(z @ w["w2"] + w["b2"]) @ w["w3"] + w["b3"]


def build_lstm(x: ht.Value, w: dict[str, ht.Value]) -> ht.Value:
    """An LSTM cell in a Scan over the time axis 1."""

    def cell(h: ht.Value, c: ht.Value, x_t: ht.Value) -> list[ht.Value]:
        gates = x_t @ w["wx"] + h @ w["wh"] + w["b"]
        i, f, g, o = ht.op.Split(gates, [16, 16, 16, 16], axis=1, outputs=4)
        c = ht.sigmoid_op(f) * c + ht.sigmoid_op(i) * ht.tanh_op(g)
        h = ht.sigmoid_op(o) * ht.tanh_op(c)
        return [h, c, h]

    zeros = ht.constant(np.zeros((12, 16), np.float32))
    body = ht.body(cell, zeros, zeros, ("float32", (12, 8)), name="cell")
    h, _, _ = ht.op.Scan(
        zeros, zeros, x, body=body, num_scan_inputs=1, scan_input_axes=[1], outputs=3
    )
    return h @ w["w3"] + w["b3"]


def torch_lstm(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    h = c = torch.zeros(len(x), 16)
    for x_t in x.unbind(1):
        i, f, g, o = (x_t @ w["wx"] + h @ w["wh"] + w["b"]).split(16, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return h @ w["w3"] + w["b3"]


def build_transformer(x: ht.Value, w: dict[str, ht.Value]) -> ht.Value:
    """One pre-norm block with two heads over (batch, 6, 16), then the mean over positions."""

    def heads(value: ht.Value, weight: ht.Value) -> ht.Value:
        split = ht.array_reshape_op(value @ weight, (-1, 6, 2, 8))
        return ht.transpose_op(split, (0, 2, 1, 3))

    z = ht.layer_normalization_op(x, w["g1"], w["b1"], eps=1e-5)
    q, k, v = (heads(z, w[name]) for name in ("wq", "wk", "wv"))
    scores = ht.batch_matmul_op(q, k, trans_B=True) * (1 / 8**0.5)
    mixed = ht.batch_matmul_op(ht.softmax_op(scores), v)
    z = x + ht.array_reshape_op(ht.transpose_op(mixed, (0, 2, 1, 3)), (-1, 6, 16)) @ w["wo"]
    hidden = ht.gelu_op(ht.layer_normalization_op(z, w["g2"], w["b2"], eps=1e-5) @ w["w1"])
    return ht.reduce_mean_op(z + hidden @ w["w2"], [1]) @ w["w3"] + w["b3"]


def torch_transformer(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    def heads(value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return (value @ weight).reshape(-1, 6, 2, 8).transpose(1, 2)

    z = F.layer_norm(x, (16,), w["g1"], w["b1"])
    q, k, v = (heads(z, w[name]) for name in ("wq", "wk", "wv"))
    mixed = torch.softmax(q @ k.transpose(-1, -2) / 8**0.5, -1) @ v
    z = x + mixed.transpose(1, 2).reshape(-1, 6, 16) @ w["wo"]
    hidden = F.gelu(F.layer_norm(z, (16,), w["g2"], w["b2"]) @ w["w1"])
    return (z + hidden @ w["w2"]).mean(1) @ w["w3"] + w["b3"]


NETS = [
    Net("cnn", (12, 1, 12, 12), 5, {
        "w1": (4, 1, 5, 5), "w2": (8, 4, 3, 3), "b2": (8,), "w3": (72, 5), "b3": (5,),
    }, build_cnn, torch_cnn),
    Net("mlp", (12, 10), 4, {
        "w1": (10, 16), "b1": (16,), "w2": (16, 16), "b2": (16,), "w3": (16, 4), "b3": (4,),
    }, build_mlp, torch_mlp),
    Net("lstm", (12, 7, 8), 3, {
        "wx": (8, 64), "wh": (16, 64), "b": (64,), "w3": (16, 3), "b3": (3,),
    }, build_lstm, torch_lstm),
    Net("transformer", (12, 6, 16), 4, {
        "g1": (16,), "b1": (16,), "wq": (16, 16), "wk": (16, 16), "wv": (16, 16), "wo": (16, 16),
        "g2": (16,), "b2": (16,), "w1": (16, 32), "w2": (32, 16), "w3": (16, 4), "b3": (4,),
    }, build_transformer, torch_transformer),
]  # fmt: skip

nets = pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)


def initial_weights(net: Net) -> Weights:
    random = np.random.default_rng(0)
    return {n: random.normal(0, 0.3, s).astype(np.float32) for n, s in net.weights.items()}


def batches(net: Net) -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(1)
    x = random.normal(size=(STEPS, *net.shape)).astype(np.float32)
    labels = random.integers(0, net.classes, (STEPS, net.shape[0]))
    return list(zip(x, np.eye(net.classes, dtype=np.float32)[labels], strict=True))


def torch_losses(net: Net) -> list[float]:
    weights = {n: torch.tensor(w, requires_grad=True) for n, w in initial_weights(net).items()}
    optimizer = torch.optim.SGD(list(weights.values()), lr=0.05)
    losses = []
    for x, y in batches(net):
        loss = F.cross_entropy(net.reference(torch.tensor(x), weights), torch.tensor(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@nets
def test_losses_and_export(net: Net, tmp_path: Path) -> None:
    x, labels = ht.Variable(name="x"), ht.Variable(name="labels")
    weights = {n: ht.Variable(name=n, value=w) for n, w in initial_weights(net).items()}
    logits = net.build(x, weights)
    loss = ht.reduce_mean_op(ht.softmaxcrossentropy_op(logits, labels), [0])
    train_op = ht.optim.SGDOptimizer(0.05).minimize(loss)
    executor = ht.Executor({"train": [loss, train_op], "validate": [logits]}, ctx=ht.cpu(0))

    results = [executor.run("train", feed_dict={x: a, labels: b}) for a, b in batches(net)]
    assert [slot for _, slot in results] == [None] * STEPS
    losses = [value.asnumpy().item() for value, _ in results]
    np.testing.assert_allclose(losses, torch_losses(net), rtol=RTOL)

    path = tmp_path / "net.onnx"
    ht.onnx.export(executor, [x], [logits], path, input_shapes={x: net.shape})
    onnx.checker.check_model(path, full_check=True)
    batch = batches(net)[0][0]
    (ours,) = executor.run("validate", feed_dict={x: batch}, convert_to_numpy_ret_vals=True)
    (theirs,) = onnxruntime.InferenceSession(path).run(None, {"x": batch})
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_the_cnn_of_the_readme(tmp_path: Path) -> None:
    """Built in the original's words, exported before any run and without any shape."""
    from hetu import gpu_ops as ad
    from hetu import init
    from hetu import onnx as ax

    w1 = init.random_normal((32, 1, 5, 5), stddev=0.1, name="W1")
    w2 = init.random_normal((64, 32, 5, 5), stddev=0.1, name="W2")
    w3 = init.random_normal((7 * 7 * 64, 10), stddev=0.1, name="W3")
    b3 = init.random_normal((10,), stddev=0.1, name="b3")
    x = ad.Variable(name="X")
    z1 = ad.relu_op(ad.conv2d_op(x, w1, padding=2, stride=1))
    z2 = ad.avg_pool2d_op(z1, kernel_H=2, kernel_W=2, padding=0, stride=2)
    z4 = ad.relu_op(ad.conv2d_op(z2, w2, padding=2, stride=1))
    z5 = ad.avg_pool2d_op(z4, kernel_H=2, kernel_W=2, padding=0, stride=2)
    z6_flat = ad.array_reshape_op(z5, (-1, 7 * 7 * 64))
    y = ad.matmul_op(z6_flat, w3) + b3
    executor = ad.Executor([y], ctx=ht.cpu(0), seed=0)
    path = tmp_path / "hetu_cnn_model.onnx"
    ax.hetu2onnx.export(executor, [x], [y], str(path))

    batch = np.random.default_rng(0).normal(0, 0.1, (128, 1, 28, 28)).astype(np.float32)
    ath = executor.run(feed_dict={x: batch})
    pre = onnxruntime.InferenceSession(path).run(None, {"X": batch})[0]
    np.testing.assert_allclose(ath[0].asnumpy(), pre, rtol=1e-5, atol=1e-6)
