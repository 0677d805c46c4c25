"""Recurrent networks, attention and tables of embeddings in plain torch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.interop.zoo.architecture import Architecture, Dimensions

WORDS = 20
TOKENS: Dimensions = {"ids": {0: "batch", 1: "length"}}


def words(module: nn.Module) -> Architecture:
    """A network over sequences of words."""
    inputs, others = ({"ids": torch.randint(0, WORDS, shape)} for shape in ((2, 7), (3, 5)))
    return Architecture(module, inputs, others, TOKENS)


class Recurrent(nn.Module):
    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.layers = getattr(nn, kind)(8, 6, batch_first=True, **options)
        self.head = nn.Linear(12 if options.get("bidirectional") else 6, 3)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        y, state = self.layers(self.words(ids))
        return self.head(y), state[0] if isinstance(state, tuple) else state


class Stateful(nn.Module):
    """The state comes in and goes out."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 6, batch_first=True)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        y, (h, c) = self.layer(x, (h, c))
        return y, h, c


class Cells(nn.Module):
    """Cells in a loop of Python, which exporters unroll."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LSTMCell(4, 6), nn.GRUCell(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[0], 6)
        y = x.new_zeros(x.shape[0], 5)
        for step in x.unbind(1):
            h, c = self.first(step, (h, c))
            y = self.second(h, y)
        return y


class Causal(nn.Module):
    """Dilated convolutions that see the past alone."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 6, 6]
        self.layers = nn.ModuleList(
            nn.Conv1d(width, 6, 3, dilation=2**i) for i, width in enumerate(widths)
        )
        self.norm = nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = F.gelu(layer(F.pad(x, (2 * 2**i, 0))))
        return self.norm(x.transpose(1, 2))


class WideAndDeep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(10, 4) for _ in range(3))
        self.wide, self.bag, self.line = nn.Embedding(30, 1), nn.Embedding(12, 4), nn.Linear(4, 1)
        self.deep = nn.Sequential(
            nn.Linear(20, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1)
        )
        self.register_buffer("offsets", torch.tensor([0, 10, 20]))

    def forward(self, dense: Tensor, sparse: Tensor, bag: Tensor) -> Tensor:
        found = [table(sparse[:, i]) for i, table in enumerate(self.tables)]
        stacked = torch.stack(found, 1)
        crossed = 0.5 * (stacked.sum(1) ** 2 - (stacked**2).sum(1)).sum(1, keepdim=True)
        deep = self.deep(torch.cat([dense, *found, self.bag(bag).mean(1)], 1))
        wide = self.line(dense) + self.wide(sparse + self.offsets).sum(1)
        return torch.sigmoid(deep + wide + crossed).squeeze(-1)


class RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class Decoder(nn.Module):
    """A block as Llama's: rotary positions, grouped queries, RMS norms, gates, a tied head."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 16)
        self.norms = nn.ModuleList(RmsNorm(16) for _ in range(3))
        self.q, self.o = (nn.Linear(16, 16, bias=False) for _ in range(2))
        self.k, self.v = (nn.Linear(16, 8, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(16, 24, bias=False) for _ in range(2))
        self.down = nn.Linear(24, 16, bias=False)

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], -1, 4).transpose(1, 2)

    def rotated(self, x: Tensor) -> Tensor:
        steps = torch.arange(x.shape[2], device=x.device)[:, None]
        angles = steps * 100.0 ** (-torch.arange(0, 4, 2) / 4)
        even, odd = x[..., ::2], x[..., 1::2]
        cos, sin = angles.cos(), angles.sin()
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    def attention(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        q, k = self.rotated(self.heads(self.q(x))), self.rotated(self.heads(self.k(x)))
        k, v = (t.repeat_interleave(2, 1) for t in (k, self.heads(self.v(x))))
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(-1, -2) / 2).masked_fill(future, float("-inf"))
        return self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.words(ids)
        x = x + self.attention(self.norms[0](x))
        y = self.norms[1](x)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return F.linear(self.norms[2](x), self.words.weight)


class Windows(nn.Module):
    """A block as Swin's: shifted windows, relative positions from a table, merged patches."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.o = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.merge = nn.Linear(32, 16, bias=False)
        self.positions = nn.Parameter(torch.randn(49, 2))
        steps = torch.cartesian_prod(torch.arange(4), torch.arange(4))
        apart = steps[:, None] - steps[None] + 3
        self.register_buffer("places", apart[..., 0] * 7 + apart[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        y = torch.roll(self.norm(x), (-2, -2), (1, 2))
        y = y.view(-1, 2, 4, 2, 4, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 8)
        q, k, v = self.qkv(y).view(-1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / 2 + self.positions[self.places].permute(2, 0, 1)
        y = self.o((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 16, 8))
        y = y.view(-1, 2, 2, 4, 4, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 8, 8)
        z = torch.roll(y, (2, 2), (1, 2)) + x
        corners = [z[:, i::2, j::2] for j in range(2) for i in range(2)]
        return self.merge(torch.cat(corners, -1))


class Experts(nn.Module):
    """The two best of four experts, weighted."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(8, 4)
        self.first = nn.Parameter(torch.randn(4, 8, 12) / 3)
        self.second = nn.Parameter(torch.randn(4, 12, 8) / 3)

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(2)
        hidden = torch.einsum("bnd,edf->bnef", x, self.first).relu()
        results = torch.einsum("bnef,efd->bned", hidden, self.second)
        index = chosen[..., None].expand(-1, -1, -1, 8)
        return (torch.gather(results, 2, index) * weights[..., None]).sum(2)


class Transformer(nn.Module):
    """`torch.nn.Transformer` itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.head(self.layers(source, target))


def stateful() -> Architecture:
    """A sequence and the two states before it."""

    def given(batch: int, length: int) -> dict[str, Tensor]:
        states = {name: torch.randn(1, batch, 6) for name in "hc"}
        return {"x": torch.randn(batch, length, 4), **states}

    names = {"x": {0: "batch", 1: "length"}, "h": {1: "batch"}, "c": {1: "batch"}}
    return Architecture(Stateful(), given(2, 7), given(3, 5), names)


def wide_and_deep() -> Architecture:
    """Numbers, categories, and a bag of words."""

    def given(batch: int) -> dict[str, Tensor]:
        sparse, bag = torch.randint(0, 10, (batch, 3)), torch.randint(0, 12, (batch, 5))
        return {"dense": torch.randn(batch, 4), "sparse": sparse, "bag": bag}

    names = {name: {0: "batch"} for name in ("dense", "sparse", "bag")}
    return Architecture(WideAndDeep(), given(4), given(3), names)


def transformer() -> Architecture:
    """Two sequences of different lengths."""

    def given(batch: int, length: int) -> dict[str, Tensor]:
        target = torch.randn(batch, length - 2, 16)
        return {"source": torch.randn(batch, length, 16), "target": target}

    names = {"source": {0: "batch", 1: "n"}, "target": {0: "batch", 1: "m"}}
    return Architecture(Transformer(), given(2, 7), given(3, 5), names)


def floats(
    module: nn.Module, shape: tuple[int, ...], other: tuple[int, ...], *axes: str
) -> Architecture:
    """One input `x`; `axes` name its first dimensions, an empty name stands for a fixed one."""
    names = {i: name for i, name in enumerate(axes) if name}
    return Architecture(module, {"x": torch.randn(shape)}, {"x": torch.randn(other)}, {"x": names})


ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "lstm": lambda: words(Recurrent("LSTM", bidirectional=True, num_layers=2)),
    "gru": lambda: words(Recurrent("GRU", bidirectional=True)),
    "rnn": lambda: words(Recurrent("RNN", nonlinearity="relu", bias=False)),
    "stateful": stateful,
    "cells": lambda: floats(Cells(), (2, 5, 4), (3, 5, 4), "batch"),
    "causal": lambda: floats(Causal(), (2, 3, 27), (3, 3, 25), "batch", "", "length"),
    "wide_and_deep": wide_and_deep,
    "decoder": lambda: words(Decoder()),
    "windows": lambda: floats(Windows(), (2, 8, 8, 8), (3, 8, 8, 8), "batch"),
    "experts": lambda: floats(Experts(), (2, 7, 8), (3, 5, 8), "batch", "length"),
    "transformer": transformer,
}
