"""U-Net with batch norm (Ronneberger et al., 2015), 32 channels wide at the top, padded."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from benchmarks.models.layers import convolution, initialize

WIDTHS = (32, 64, 128, 256, 512)


def double(channels: int, filters: int) -> nn.Module:
    return nn.Sequential(
        *convolution(channels, filters, 3), nn.ReLU(inplace=True),
        *convolution(filters, filters, 3), nn.ReLU(inplace=True),
    )  # fmt: skip


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        pairs = list(pairwise(WIDTHS))
        self.first, self.pool = double(3, WIDTHS[0]), nn.MaxPool2d(2)
        self.down = nn.ModuleList(double(upper, lower) for upper, lower in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(lower, upper, 2, 2) for upper, lower in pairs)
        self.mix = nn.ModuleList(double(2 * upper, upper) for upper, _ in pairs)
        self.last = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(self.pool(levels[-1])))
        y = levels.pop()
        for up, mix, level in zip(self.up[::-1], self.mix[::-1], levels[::-1], strict=True):
            y = mix(torch.cat([level, up(y)], 1))
        return self.last(y)


def unet() -> nn.Module:
    return initialize(Unet())
