"""MobileNetV2 (Sandler et al., 2018). Its dropout is left out, so that training can be compared."""

from torch import Tensor, nn

from benchmarks.models.layers import convolution, initialize

STAGES = [
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
    (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
]  # fmt: skip
"""Expansion, channels, blocks, stride: table 2 of the paper."""


class InvertedResidual(nn.Module):
    def __init__(self, channels: int, filters: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        expand = [*convolution(channels, hidden, 1), nn.ReLU6(inplace=True)]
        self.body = nn.Sequential(
            *(expand if expansion > 1 else []),
            *convolution(hidden, hidden, 3, stride, groups=hidden), nn.ReLU6(inplace=True),
            *convolution(hidden, filters, 1),
        )  # fmt: skip
        self.residual = stride == 1 and channels == filters

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


def blocks() -> list[nn.Module]:
    made, channels = [], 32
    for expansion, filters, count, first in STAGES:
        for stride in (first, *[1] * (count - 1)):
            made.append(InvertedResidual(channels, filters, stride, expansion))
            channels = filters
    return made


def mobilenet_v2() -> nn.Module:
    network = nn.Sequential(
        *convolution(3, 32, 3, 2), nn.ReLU6(inplace=True), *blocks(),
        *convolution(320, 1280, 1), nn.ReLU6(inplace=True),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000),
    )  # fmt: skip
    return initialize(network)
