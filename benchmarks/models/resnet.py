"""ResNet-50, with the stride in the 3x3 convolution (He et al., 2016; "v1.5")."""

from torch import Tensor, nn

from benchmarks.models.layers import convolution, initialize

EXPANSION = 4


class Bottleneck(nn.Module):
    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        filters = width * EXPANSION
        self.body = nn.Sequential(
            *convolution(channels, width, 1), nn.ReLU(inplace=True),
            *convolution(width, width, 3, stride), nn.ReLU(inplace=True),
            *convolution(width, filters, 1),
        )  # fmt: skip
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != filters:
            self.shortcut = nn.Sequential(*convolution(channels, filters, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.body(x) + self.shortcut(x))


def stage(channels: int, width: int, blocks: int, stride: int) -> nn.Module:
    rest = (Bottleneck(width * EXPANSION, width, 1) for _ in range(blocks - 1))
    return nn.Sequential(Bottleneck(channels, width, stride), *rest)


def resnet50() -> nn.Module:
    network = nn.Sequential(
        *convolution(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
        stage(64, 64, 3, 1), stage(256, 128, 4, 2), stage(512, 256, 6, 2), stage(1024, 512, 3, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000),
    )  # fmt: skip
    return initialize(network)
