"""Data sets, data loaders, metrics."""

from hetu.data.dataloader import Dataloader, DataloaderOp, dataloader_op
from hetu.data.datasets import (
    cifar10,
    cifar100,
    convert_to_one_hot,
    mnist,
    normalize_cifar,
    tf_normalize_cifar,
)

__all__ = [
    "Dataloader",
    "DataloaderOp",
    "cifar10",
    "cifar100",
    "convert_to_one_hot",
    "dataloader_op",
    "mnist",
    "normalize_cifar",
    "tf_normalize_cifar",
]
