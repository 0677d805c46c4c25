"""What several convolutional networks are made of."""

from torch import nn


def convolution(
    channels: int, filters: int, size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution of the input's size, divided by its stride, and its batch norm."""
    return [
        nn.Conv2d(channels, filters, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(filters),
    ]


def initialize(module: nn.Module) -> nn.Module:
    """Give convolutions weights that keep the scale of what goes through (He et al., 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return module
