"""Modules over few weights and many operators: signals, indexing, activations, control flow."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.interop.zoo.architecture import Architecture, Dimensions

BATCH: Dimensions = {"x": {0: "batch"}}


class Spectrogram(nn.Module):
    """An audio front end: windows, power, weights of mel bands, logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.mel = nn.Parameter(torch.rand(33, 8))
        self.conv, self.head = nn.Conv1d(8, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        pairs = torch.stft(x, 64, 16, window=self.window, center=False, return_complex=False)
        bands = pairs.square().sum(-1).transpose(1, 2) @ self.mel
        return self.head(F.relu(self.conv(torch.log(bands + 1e-3).transpose(1, 2))).mean(-1))


class Magnitude(nn.Module):
    """The magnitude of complex numbers, and transforms over two axes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.head, self.mix = nn.Linear(33, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.stft(x, 64, 16, window=self.window, center=True, return_complex=True)
        y = self.head(torch.log(z.abs() + 1e-2).mean(-1))
        return y + torch.fft.fft(torch.fft.fft(self.mix(y), dim=-1), dim=-2).real


class Activations(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line, self.slope, self.slopes = nn.Linear(6, 30), nn.PReLU(), nn.PReLU(30)

    def forward(self, x: Tensor) -> Tensor:
        functions = [
            F.relu, F.gelu, nn.GELU("tanh"), F.silu, F.mish, F.elu, F.selu, F.celu, F.softplus,
            F.softsign, F.hardtanh, F.logsigmoid, F.tanhshrink, nn.Softshrink(0.1),
            nn.Hardshrink(0.1),
        ]  # fmt: skip
        parts = self.line(x).chunk(15, -1)
        y = torch.cat([f(part) for f, part in zip(functions, parts, strict=True)], -1)
        y = self.slopes(y.transpose(1, 2)).transpose(1, 2)
        return self.slope(y) + F.glu(y.repeat(1, 1, 2), -1)


class Indexing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line, self.head = nn.Linear(10, 10), nn.Linear(4, 2)

    def forward(self, x: Tensor, places: Tensor) -> tuple[Tensor, ...]:
        y = self.line(x)
        written = y.clone()
        written[:, 2:5] = y.cumsum(1)[:, 2:5]
        written[:, 0] = 3.0
        return (
            torch.zeros(x.shape[0], 6).scatter_add(1, places, y),
            y.sort(1, descending=True)[0],
            self.head(y.topk(4, -1)[0]),
            torch.gather(y, 1, places),
            written,
            y[:, [0, 3, 3]],
            F.one_hot(places, 6)[..., 1].to(torch.float32) * y,
            y.repeat_interleave(2, 1).roll(3, 1).flip(1),
            y.masked_fill(places > 3, -1.0),
            (y[:, :, None] * y[:, None]).triu(1) + torch.eye(10),
            y.argmax(1),
        )


class Formulas(nn.Module):
    """Einsum, windows of an axis, statistics, and functions with kinks."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(4, 6, 5) / 9), nn.Parameter(torch.randn(5, 8) / 3)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = torch.einsum("bchw,chk->bkw", x, self.a)
        z = torch.einsum("bkw,kw->bw", y, self.b) * self.scale
        return (
            z,
            torch.einsum("bkw,bjw->bkj", y, y).tril(-1),
            x.unfold(3, 4, 2).movedim(1, -1).std((1, 2)) * self.scale,
            F.unfold(y[:, None], (3, 2), padding=1).logsumexp(1),
            F.normalize(z, dim=-1) + z.norm(dim=-1, keepdim=True),
            torch.lerp(z, z.minimum(z.flip(1)), 0.3) + torch.fmod(z, 0.3) + z.erf(),
            (z.abs() + 0.1).pow(1.7).log1p() + torch.sign(z) * z.clamp(min=-0.5),
            F.cosine_similarity(y[:, 0], y[:, 1]) + y.amax(1).var(1),
        )


class Messages(nn.Module):
    """A layer of a graph network: sums over the edges that lead to a node."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        y = self.first(x)
        source, target = edges[0], edges[1]
        received = torch.zeros_like(y).index_add(0, target, y[source])
        counts = torch.zeros(x.shape[0]).index_add(0, target, torch.ones(edges.shape[1]))
        return self.second(F.relu(received / counts.clamp(min=1)[:, None]))


class Branches(nn.Module):
    """One of two branches, by the data."""

    def __init__(self) -> None:
        super().__init__()
        self.positive, self.negative = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(
            x.sum() > 0, lambda v: self.positive(v).relu(), lambda v: self.negative(v).tanh(), (x,)
        )


class Steps(nn.Module):
    """A loop with a branch, which the script exporter keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(4, 4) / 3), nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        for i in range(int(steps)):
            if i % 2 == 0:  # noqa: SIM108 (a statement becomes an If)
                x = torch.tanh(x @ self.w + self.b)
            else:
                x = x + torch.sin(x) * self.b
        return x


class Reparametrized(nn.Module):
    """Weights in directions and lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 8, 3, padding=1))
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.softplus(self.conv(x)).mean(-1))


def floats(module: nn.Module, *shape: int, dynamic: Dimensions = BATCH) -> Architecture:
    """One input `x`, of two batch sizes."""
    inputs, others = ({"x": torch.randn(batch, *shape)} for batch in (2, 3))
    return Architecture(module, inputs, others, dynamic)


def indexing() -> Architecture:
    """Numbers and places."""
    inputs, others = (
        {"x": torch.randn(batch, 10), "places": torch.randint(0, 6, (batch, 10))}
        for batch in (2, 3)
    )
    return Architecture(Indexing(), inputs, others, {n: {0: "batch"} for n in inputs})


def messages() -> Architecture:
    """Six nodes and some edges."""
    inputs, others = (
        {"x": torch.randn(6, 5), "edges": torch.randint(0, 6, (2, count))} for count in (11, 9)
    )
    return Architecture(Messages(), inputs, others, {"edges": {1: "count"}})


def branches() -> Architecture:
    """Inputs for either branch."""
    inputs, others = torch.randn(2, 4) + 1, torch.randn(3, 4) - 1
    return Architecture(Branches(), {"x": inputs}, {"x": others}, BATCH)


def steps() -> Architecture:
    """The loop's length is an input."""
    inputs, others = (
        {"x": torch.randn(batch, 4), "steps": torch.tensor(count)}
        for batch, count in ((2, 3), (3, 6))
    )
    return Architecture(torch.jit.script(Steps()), inputs, others, BATCH)


ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "spectrogram": lambda: floats(Spectrogram(), 400),
    "magnitude": lambda: floats(Magnitude(), 400),
    "activations": lambda: floats(Activations(), 7, 6),
    "indexing": indexing,
    "formulas": lambda: floats(Formulas(), 4, 6, 8),
    "messages": messages,
    "branches": branches,
    "steps": steps,
    "reparametrized": lambda: floats(Reparametrized(), 4, 20),
}
