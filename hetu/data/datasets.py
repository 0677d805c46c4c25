"""The MNIST and CIFAR data sets, from their files. Nothing is downloaded."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hetu import unpickle
from hetu.data import files
from hetu.errors import UsageError, show

Pair = tuple[np.ndarray, np.ndarray]
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Folder = str | os.PathLike[str]

_MNIST_PICKLES = ("mnist.pkl", "mnist.pkl.gz")
_MNIST_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_PIXELS = 28 * 28
_IMAGE = (3, 32, 32)
_CIFAR10_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_CIFAR100_FILES = ("train", "test")


def mnist(dataset: Folder = "mnist.pkl.gz", onehot: bool = True) -> tuple[Pair, Pair, Pair]:
    """Training, validation and test images (n, 784) float32 in [0, 1) with their labels.

    `dataset` is the file `mnist.pkl.gz`, or a folder with it or with the four idx files, plain or
    gzipped. Of idx files the last sixth of the training images is for validation, and pixels are
    divided by 256, so that both forms give the same. Labels are one-hot (n, 10) float32, or int64.
    Raises `UsageError` where files are missing or broken.
    """
    path = Path(dataset)
    folder = path if path.is_dir() else path.parent
    pickles = [path, *(folder / name for name in _MNIST_PICKLES)]
    found = next((file for file in pickles if file.is_file()), None)
    parts = _mnist_pickle(found) if found else _mnist_idx(path, folder)
    train, valid, test = (_with_labels(x, y, 10, onehot) for x, y in parts)
    return train, valid, test


def cifar10(directory: Folder = "CIFAR_10", onehot: bool = True) -> Split:
    """Training images and labels, test images and labels of CIFAR-10.

    Images are (n, 3, 32, 32) float32 from 0 to 255, labels one-hot (n, 10) float32 or int64. The
    files are the Python pickles, in `directory` or in `cifar-10-batches-py` inside of it. Raises
    `UsageError` where files are missing or broken.
    """
    return _as_float(_cifar(10, directory, onehot))


def cifar100(directory: Folder = "CIFAR_100", onehot: bool = True) -> Split:
    """The same of CIFAR-100, with the fine labels; its folder is called `cifar-100-python`."""
    return _as_float(_cifar(100, directory, onehot))


def normalize_cifar(
    num_class: int = 10, onehot: bool = True, directory: Folder | None = None
) -> Split:
    """CIFAR-10 or CIFAR-100 with images (n, 3, 32, 32) whose channels are standardised.

    Mean and standard deviation are those of the training images, for the test images too.
    """
    if num_class not in (10, 100):
        raise UsageError(f"num_class is 10 or 100, not {show(num_class)}")
    train_x, train_y, test_x, test_y = _cifar(num_class, directory or f"CIFAR_{num_class}", onehot)
    mean, deviation = _channel_statistics(train_x)
    train_x, test_x = (_standardised(x, mean, deviation) for x in (train_x, test_x))
    return train_x, train_y, test_x, test_y


def tf_normalize_cifar(
    num_class: int = 10, onehot: bool = True, directory: Folder | None = None
) -> Split:
    """`normalize_cifar` with images (n, 32, 32, 3)."""
    train_x, train_y, test_x, test_y = normalize_cifar(num_class, onehot, directory)
    train_x, test_x = (np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for x in (train_x, test_x))
    return train_x, train_y, test_x, test_y


def convert_to_one_hot(vals: Any, max_val: int = 0) -> np.ndarray:
    """Class numbers as rows of `max_val` numbers (0: as many as there are classes), float32."""
    labels = np.asarray(vals).reshape(-1)
    count = max_val or (int(labels.max()) + 1 if labels.size else 0)
    if labels.size and not 0 <= labels.min() <= labels.max() < count:
        raise UsageError(f"labels from {labels.min()} to {labels.max()} for {count} classes")
    rows = np.zeros((labels.size, count), np.float32)
    rows[np.arange(labels.size), labels.astype(np.int64)] = 1
    return rows


def _with_labels(images: np.ndarray, labels: Any, classes: int, onehot: bool) -> Pair:
    labels = np.asarray(labels, np.int64)
    return images, convert_to_one_hot(labels, classes) if onehot else labels


def _mnist_pickle(path: Path) -> list[Pair]:
    content = unpickle.load(path)
    is_whole = isinstance(content, list | tuple) and len(content) == 3
    if not is_whole or not all(_are_images(part, _PIXELS) for part in content):
        raise UsageError(f"{show(str(path))} does not hold three pairs of images and labels")
    return [(np.asarray(x, np.float32), y) for x, y in content]


def _are_images(pair: Any, size: int) -> bool:
    """Whether it is an array of images (n, size) and a list or array of n integers."""
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return False
    images, labels = pair
    return (
        isinstance(images, np.ndarray)
        and images.ndim == 2
        and images.shape[1] == size
        and (isinstance(labels, list) or (isinstance(labels, np.ndarray) and labels.ndim == 1))
        and len(labels) == len(images)
        and all(isinstance(label, int | np.integer) for label in labels)
    )


def _mnist_idx(path: Path, folder: Path) -> list[Pair]:
    paths = files.find_all(folder, _MNIST_IDX)
    if paths is None:
        raise UsageError(
            f"no MNIST data: there is no file {show(str(path))}, and in "
            f"{show(str(folder.absolute()))} there is neither {' nor '.join(_MNIST_PICKLES)}, "
            f"nor are there {', '.join(_MNIST_IDX)} (plain or .gz)"
        )
    arrays = [files.read_idx(path) for path in paths]
    (train_x, train_y), test = (_idx_pair(folder, *arrays[i : i + 2]) for i in (0, 2))
    count = len(train_x) - len(train_x) // 6
    return [(train_x[:count], train_y[:count]), (train_x[count:], train_y[count:]), test]


def _idx_pair(folder: Path, images: np.ndarray, labels: np.ndarray) -> Pair:
    if images.shape[1:] != (28, 28) or labels.shape != images.shape[:1]:
        raise UsageError(
            f"MNIST data in {show(str(folder))}: images of shape {list(images.shape)} "
            f"and labels of shape {list(labels.shape)} do not belong together"
        )
    return images.reshape(-1, _PIXELS).astype(np.float32) / np.float32(256), labels


def _cifar(classes: int, directory: Folder, onehot: bool) -> Split:
    """Images as uint8."""
    names = _CIFAR10_FILES if classes == 10 else _CIFAR100_FILES
    inner = "cifar-10-batches-py" if classes == 10 else "cifar-100-python"
    label = "labels" if classes == 10 else "fine_labels"
    folder = Path(directory) / inner if (Path(directory) / inner).is_dir() else Path(directory)
    paths = files.find_all(folder, names)
    if paths is None:
        raise UsageError(
            f"no CIFAR-{classes} data in {show(str(Path(directory).absolute()))}: there have to be "
            f"{', '.join(names)}, there or in {inner}"
        )
    batches = [_cifar_batch(path, label) for path in paths]
    train = _joined(batches[:-1], classes, onehot)
    return (*train, *_joined(batches[-1:], classes, onehot))


def _cifar_batch(path: Path, label: str) -> Pair:
    content = unpickle.load(path)
    if not isinstance(content, dict):
        raise UsageError(f"{show(str(path))} holds no dict")
    fields = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in content.items()}
    pair: Any = fields.get("data"), fields.get(label)
    if not _are_images(pair, math.prod(_IMAGE)) or pair[0].dtype != np.uint8:
        raise UsageError(f"{show(str(path))} does not hold images 'data' and labels {label!r}")
    return pair[0].reshape(-1, *_IMAGE), np.asarray(pair[1])


def _joined(batches: Sequence[Pair], classes: int, onehot: bool) -> Pair:
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return _with_labels(images, labels, classes, onehot)


def _as_float(parts: Split) -> Split:
    train_x, train_y, test_x, test_y = parts
    return train_x.astype(np.float32), train_y, test_x.astype(np.float32), test_y


def _channel_statistics(images: np.ndarray) -> Pair:
    """Mean and standard deviation by channel, counted exactly over the 256 values of a pixel."""
    counts = np.stack([np.bincount(images[:, c].reshape(-1), minlength=256) for c in range(3)])
    weights = counts / counts.sum(1, keepdims=True)
    values = np.arange(256)
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(1)
    return mean, np.sqrt(variance)


def _standardised(images: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    shape = (3, 1, 1)
    result = images - mean.reshape(shape).astype(np.float32)
    result /= np.where(deviation > 0, deviation, 1).reshape(shape).astype(np.float32)
    return result
