"""Trains a CNN on handwritten digits, exports it, loads it back, fine-tunes it, exports it again.

    python examples/digits.py [--mnist mnist.pkl.gz] [--out out]

Without `--mnist`, the digits are scikit-learn's 1,797 UCI images, brought to 28x28.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import onnxruntime
from matplotlib import pyplot
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

import hetu as ht
from hetu import init
from hetu import onnx as hx

BATCH = 64
CONSOLE = Console()


@dataclass
class Data:
    """Images (n, 1, 28, 28) in [0, 1] and one-hot labels (n, 10)."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def batches(self, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """One epoch, in random order."""
        order = np.random.default_rng(seed).permutation(len(self.train_x))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield self.train_x[chosen], self.train_y[chosen]


@dataclass
class History:
    """The loss of each step, and the held-out accuracy after each epoch with its step."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[tuple[int, float]] = field(default_factory=list)


def load_data(mnist: Path | None) -> Data:
    if mnist is not None:
        (train_x, train_y), _, (test_x, test_y) = ht.data.mnist(str(mnist), onehot=True)
        shape = (-1, 1, 28, 28)
        return Data(train_x.reshape(shape), train_y, test_x.reshape(shape), test_y)
    digits = load_digits()
    images = zoom(digits.images / 16.0, (1, 3.5, 3.5), order=1)[:, None].astype(np.float32)
    order = np.random.default_rng(0).permutation(len(images))
    x, y = images[order], np.eye(10, dtype=np.float32)[digits.target[order]]
    return Data(x[:1440], y[:1440], x[1440:], y[1440:])


def build_cnn() -> tuple[ht.Value, ht.Value]:
    """Input and logits of two convolution stages and a linear layer."""
    x = ht.Variable(name="X")
    w1 = init.random_normal((32, 1, 5, 5), stddev=0.1, name="W1")
    w2 = init.random_normal((64, 32, 5, 5), stddev=0.1, name="W2")
    w3 = init.random_normal((7 * 7 * 64, 10), stddev=0.1, name="W3")
    b3 = init.random_normal((10,), stddev=0.1, name="b3")
    z = ht.relu_op(ht.conv2d_op(x, w1, padding=2, stride=1))
    z = ht.avg_pool2d_op(z, kernel_H=2, kernel_W=2, padding=0, stride=2)
    z = ht.relu_op(ht.conv2d_op(z, w2, padding=2, stride=1))
    z = ht.avg_pool2d_op(z, kernel_H=2, kernel_W=2, padding=0, stride=2)
    flat = ht.array_reshape_op(z, (-1, 7 * 7 * 64))
    return x, ht.matmul_op(flat, w3) + b3


def make_executor(logits: ht.Value, rate: float) -> tuple[ht.Executor, ht.Value]:
    """An executor that trains and validates, and the feed for the labels."""
    labels = ht.placeholder_op("labels")
    loss = ht.reduce_mean_op(ht.softmaxcrossentropy_op(logits, labels), [0])
    train_op = ht.optim.AdamOptimizer(rate).minimize(loss)
    return ht.Executor({"train": [loss, train_op], "validate": [logits]}, seed=1), labels


def train(
    executor: ht.Executor,
    x: ht.Value,
    labels: ht.Value,
    data: Data,
    epochs: int,
    title: str,
    history: History,
) -> None:
    """Train for some epochs, with a progress bar."""
    with Progress(console=CONSOLE) as progress:
        task = progress.add_task(title, total=epochs * (len(data.train_x) // BATCH))
        for epoch in range(epochs):
            for batch_x, batch_y in data.batches(epoch):
                loss, _ = executor.run("train", feed_dict={x: batch_x, labels: batch_y})
                history.losses.append(loss.asnumpy().item())
                progress.advance(task)
            history.accuracies.append(
                (len(history.losses), accuracy(predict(executor, x, data), data))
            )
            progress.update(task, description=f"{title}, accuracy {history.accuracies[-1][1]:.3f}")


def predict(executor: ht.Executor, x: ht.Value, data: Data) -> np.ndarray:
    return executor.run("validate", feed_dict={x: data.test_x})[0].asnumpy()


def accuracy(logits: np.ndarray, data: Data) -> float:
    return float((logits.argmax(1) == data.test_y.argmax(1)).mean())


def check(path: Path, ours: np.ndarray, data: Data) -> float:
    """Run a model in ONNX Runtime on the held-out digits; the largest difference from ours."""
    session = onnxruntime.InferenceSession(path)
    (theirs,) = session.run(None, {"X": data.test_x})
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    return float(np.abs(ours - theirs).max())


def plot(history: History, border: int, path: Path) -> None:
    """Loss and accuracy over the steps; a line marks where fine-tuning starts."""
    matplotlib.use("Agg")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(history.losses, linewidth=1)
    left.set(title="Training loss", xlabel="step", ylabel="cross entropy", yscale="log")
    right.plot(*zip(*history.accuracies, strict=True), marker="o", color="tab:green")
    right.set(title="Held-out accuracy", xlabel="step", ylabel="accuracy")
    for axes in (left, right):
        axes.axvline(border, color="gray", linestyle="--", linewidth=1)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    """The whole tour."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mnist", type=Path, help="path of mnist.pkl.gz, for real MNIST")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for what is written")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    data, history = load_data(options.mnist), History()

    x, logits = build_cnn()
    executor, labels = make_executor(logits, rate=0.001)
    train(executor, x, labels, data, 6, "training", history)
    first = options.out / "digits.onnx"
    hx.hetu2onnx.export(executor, [x], [logits], first, input_shapes={x: ("batch", 1, 28, 28)})
    rows = [("trained", first, predict(executor, x, data))]
    border = len(history.losses)

    x, logits = hx.onnx2hetu.load_onnx(first)
    executor, labels = make_executor(logits, rate=0.0003)
    train(executor, x, labels, data, 3, "fine-tuning", history)
    second = options.out / "digits_tuned.onnx"
    hx.hetu2onnx.export(executor, [x], [logits], second)
    rows.append(("fine-tuned", second, predict(executor, x, data)))

    curves = options.out / "digits.png"
    plot(history, border, curves)
    table = Table("model", "file", "held-out accuracy", "largest difference from ONNX Runtime")
    for title, path, ours in rows:
        table.add_row(
            title, str(path), f"{accuracy(ours, data):.4f}", f"{check(path, ours, data):.1e}"
        )
    CONSOLE.print(table)
    CONSOLE.print(f"{len(data.test_x)} held-out digits, curves in {curves}, "
                  f"{time.monotonic() - started:.0f} seconds")  # fmt: skip


if __name__ == "__main__":
    main()
