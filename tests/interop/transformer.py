"""Two small transformers in plain torch, and how they are exported."""

import math
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

WIDTH, HEADS, WORDS, LENGTH = 32, 4, 50, 16


class SelfAttention(nn.Module):
    """Attention written out; `mask` is added to the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.dense = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH // HEADS).permute(0, 2, 1, 3)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (self.heads(f(x)) for f in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH // HEADS) + mask
        mixed = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).contiguous()
        return self.dense(mixed.view(x.shape[0], x.shape[1], WIDTH))


class Layer(nn.Module):
    """A layer that normalizes after its residuals, as BERT, or before its parts, as GPT-2."""

    def __init__(self, is_first: bool) -> None:
        super().__init__()
        self.is_first = is_first
        self.attention = SelfAttention()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.is_first:
            x = x + self.attention(self.norm1(x), mask)
            inner = F.gelu(self.wide(self.norm2(x)), approximate="tanh")
            return x + self.narrow(inner)
        x = self.norm1(self.attention(x, mask) + x)
        return self.norm2(self.narrow(F.gelu(self.wide(x))) + x)


class Bert(nn.Module):
    """Words, a mask of what is no padding and segments to the scores of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.segments, self.norm = nn.Embedding(2, WIDTH), nn.LayerNorm(WIDTH)
        self.layers = nn.ModuleList(Layer(is_first=False) for _ in range(2))
        self.head = nn.Linear(WIDTH, 3)
        self.register_buffer("steps", torch.arange(LENGTH)[None])

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor) -> Tensor:
        added = (1.0 - mask[:, None, None, :].to(torch.float32)) * -10000.0
        steps = self.steps[:, : ids.shape[1]]
        x = self.norm(self.words(ids) + self.segments(segments) + self.positions(steps))
        for layer in self.layers:
            x = layer(x, added)
        return self.head(torch.tanh(x[:, 0]))


class Gpt(nn.Module):
    """Words to the scores of the next words."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.positions = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.ModuleList(Layer(is_first=True) for _ in range(2))
        self.norm = nn.LayerNorm(WIDTH)
        future = torch.full((LENGTH, LENGTH), -10000.0).triu(1)
        self.register_buffer("future", future[None, None])
        self.register_buffer("steps", torch.arange(LENGTH)[None])

    def forward(self, ids: Tensor) -> Tensor:
        length = ids.shape[1]
        x = self.words(ids) + self.positions(self.steps[:, :length])
        for layer in self.layers:
            x = layer(x, self.future[:, :, :length, :length])
        return self.norm(x) @ self.words.weight.t()


def bert() -> tuple[nn.Module, dict[str, Tensor]]:
    """The module and its inputs."""
    torch.manual_seed(0)
    mask = torch.ones(2, 8, dtype=torch.int64)
    mask[1, 5:] = 0
    inputs = {"ids": torch.randint(0, WORDS, (2, 8)), "mask": mask}
    return Bert().eval(), inputs | {"segments": torch.randint(0, 2, (2, 8))}


def gpt() -> tuple[nn.Module, dict[str, Tensor]]:
    """The module and its inputs."""
    torch.manual_seed(0)
    return Gpt().eval(), {"ids": torch.randint(0, WORDS, (2, 8))}


def export(
    module: nn.Module, inputs: dict[str, Tensor], path: Path, opset: int, dynamo: bool
) -> None:
    """Write the module with torch's exporter, the new one or the old."""
    options = {} if dynamo else {"dynamic_axes": {name: {0: "batch", 1: "n"} for name in inputs}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, tuple(inputs.values()), str(path), dynamo=dynamo, opset_version=opset,
            input_names=list(inputs), output_names=["y"], external_data=False, verbose=False,
            **options,
        )  # fmt: skip
