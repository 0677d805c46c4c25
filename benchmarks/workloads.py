"""What is measured: each workload's model, inputs, batch sizes and loss."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

Feeds = dict[str, np.ndarray]
Loss = Literal["cross_entropy", "mean_square"]


@dataclass(frozen=True)
class Input:
    """An input's shape without its batch; integers below `high`, or normal numbers without it."""

    shape: tuple[int, ...]
    high: int | None = None

    def draw(self, batch: int, random: np.random.Generator) -> np.ndarray:
        shape = (batch, *self.shape)
        if self.high is None:
            return random.standard_normal(shape, dtype=np.float32)
        return random.integers(0, self.high, shape)


@dataclass(frozen=True)
class Workload:
    """A model: the function `name` in `benchmarks/models/<family>.py` makes its module."""

    name: str
    family: str
    inputs: Mapping[str, Input]
    target: Input
    batches: tuple[int, ...]
    loss: Loss = "cross_entropy"
    convolutional: bool = False

    def feeds(self, batch: int) -> Feeds:
        """The same numbers every time."""
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        return {name: content.draw(batch, random) for name, content in self.inputs.items()}

    def targets(self, batch: int) -> np.ndarray:
        """What training compares the results with."""
        return self.target.draw(batch, np.random.default_rng(1))

    @property
    def training_batch(self) -> int:
        """The largest batch is what training is measured with."""
        return max(self.batches)


_IMAGE = {"pixels": Input((3, 224, 224))}
_TOKENS = 128
_VOCABULARY = {"bert": 30522, "gpt2": 50257}

WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("cnn", "cnn", {"x": Input((1, 28, 28))}, Input((), 10), (1, 128),
                 convolutional=True),
        Workload("mlp", "mlp", {"x": Input((784,))}, Input((), 10), (1, 128)),
        Workload("resnet50", "resnet", _IMAGE, Input((), 1000), (1, 8), convolutional=True),
        Workload("mobilenet_v2", "mobilenet", _IMAGE, Input((), 1000), (1, 8), convolutional=True),
        Workload("unet", "unet", {"pixels": Input((3, 128, 128))}, Input((1, 128, 128)), (1, 4),
                 "mean_square", convolutional=True),
        Workload("bert", "transformer",
                 {"input_ids": Input((_TOKENS,), _VOCABULARY["bert"]),
                  "attention_mask": Input((_TOKENS,), 2)},
                 Input((), 2), (1, 8)),
        Workload("gpt2", "transformer", {"input_ids": Input((_TOKENS,), _VOCABULARY["gpt2"])},
                 Input((_TOKENS,), _VOCABULARY["gpt2"]), (1, 4)),
        Workload("vit", "transformer", {"pixel_values": Input((3, 224, 224))}, Input((), 1000),
                 (1, 4)),
        Workload("lstm", "lstm", {"x": Input((64, 256))}, Input((), 10), (1, 16)),
        Workload("wide_and_deep", "recommender",
                 {"numbers": Input((13,)), "categories": Input((26,), 10_000)},
                 Input((1,)), (1, 512), "mean_square"),
    )
}  # fmt: skip
"""The models by name."""

_CHAINED = {"x": Input((16,))}

CHAINS = {
    nodes: Workload(f"chain_{nodes}", "chain", _CHAINED, Input((16,)), (1,), "mean_square")
    for nodes in (1_000, 10_000, 100_000)
}
"""Chains of small operators, by how many there are."""

LARGE = Workload("large", "large", {"x": Input((4096,))}, Input((4096,)), (1,), "mean_square")
"""The model of 3 GiB."""
