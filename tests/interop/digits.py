"""Real handwritten digits: scikit-learn's 1,797 UCI images, brought to 28x28."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import load_digits


@dataclass(frozen=True)
class Digits:
    """Images (n, 784) in [0, 1] and labels one-hot (n, 10), shuffled, a part held out."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def digits() -> Digits:
    """The data set; the last 297 images are for testing."""
    data = load_digits()
    images = torch.from_numpy(data.images / 16.0)[:, None].float()
    scaled = torch.nn.functional.interpolate(images, (28, 28), mode="bilinear")
    order = np.random.default_rng(0).permutation(len(images))
    x = scaled.reshape(-1, 784).numpy()[order]
    y = np.eye(10, dtype=np.float32)[data.target[order]]
    return Digits(x[:1500], y[:1500], x[1500:], y[1500:])
