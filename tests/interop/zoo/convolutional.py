"""Convolutional networks in plain torch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.interop.zoo.architecture import Architecture, Dimensions

SIZES: Dimensions = {"x": {0: "batch", 2: "height", 3: "width"}}
BATCH: Dimensions = {"x": {0: "batch"}}


def images(module: nn.Module, channels: int, dynamic: Dimensions = SIZES) -> Architecture:
    """A network over square images of 16 steps, or of 24 where sizes are dynamic."""
    other = 24 if 2 in dynamic.get("x", {}) else 16
    x, others = torch.randn(2, channels, 16, 16), torch.randn(3, channels, other, other)
    return Architecture(module, {"x": x}, {"x": others}, dynamic)


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, bias=False), nn.BatchNorm2d(16, momentum=0.3), nn.ReLU6(),
            nn.AvgPool2d(2), nn.Dropout(0.2), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.Linear(144, 16), nn.BatchNorm1d(16, affine=False), nn.Tanh(), nn.Linear(16, 5)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Unet(nn.Module):
    """Down and up again: strided, dilated, transposed convolutions, Resize, every norm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(4, 8), nn.SiLU(),
            nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.InstanceNorm2d(8, affine=True),
            nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.second = nn.Sequential(
            nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.PReLU(16)
        )
        self.third = nn.Sequential(
            nn.Conv2d(16, 16, 3, stride=2, padding=2, dilation=2), nn.GroupNorm(2, 16), nn.Mish()
        )
        self.up1 = nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1, groups=2)
        self.mix1, self.mix2 = nn.Conv2d(24, 8, 3, padding=1), nn.Conv2d(24, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        b = self.second(a)
        up = F.interpolate(self.up1(self.third(b)), b.shape[-2:], mode="bilinear")
        c = F.elu(self.mix1(torch.cat([up, b], 1)))
        near = F.interpolate(c, scale_factor=2.0, mode="nearest")
        return self.last(F.hardswish(self.mix2(torch.cat([self.up2(c), near, a], 1))))


class Bicubic(nn.Module):
    """Padding modes, and interpolations with aligned corners and without."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
        self.second = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular")
        self.third = nn.Conv2d(8, 4, 3, padding=1, padding_mode="replicate")
        self.norm = nn.InstanceNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = F.avg_pool2d(F.relu(self.norm(self.first(x))), 2)
        cubic = F.interpolate(self.second(y), scale_factor=2.0, mode="bicubic")
        aligned = F.interpolate(y, x.shape[-2:], mode="bilinear", align_corners=True)
        return self.third(cubic + aligned)


class Separable(nn.Module):
    """Depthwise separable convolution, squeeze and excitation, pixels into channels and back."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(),
            nn.Conv2d(12, 12, 3, groups=12, padding=1), nn.BatchNorm2d(12), nn.Hardswish(),
            nn.Conv2d(12, 8, 1, bias=False), nn.BatchNorm2d(8),
        )  # fmt: skip
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.shuffle, self.unshuffle = nn.PixelShuffle(2), nn.PixelUnshuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.features(x)
        y = y * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        return self.unshuffle(self.shuffle(self.grouped(y))).flatten(2).mean(-1)


class Pools(nn.Module):
    """Pools whose last window hangs over the edge."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 6, 2), nn.LocalResponseNorm(3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.norm(self.conv(x))
        pooled = [
            F.max_pool2d(y, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(y, 3, 2, 1, ceil_mode=True, count_include_pad=False),
            F.avg_pool2d(y, 3, 2, 1),
            F.lp_pool2d(y, 2, 2),
        ]
        return (*(p.mean((2, 3)) for p in pooled), F.adaptive_max_pool2d(y, 1).flatten(1))


class OtherRanks(nn.Module):
    """Convolutions and norms over volumes and over sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.volume = nn.Sequential(
            nn.Conv3d(2, 4, 3, padding=1, stride=(1, 2, 2)), nn.BatchNorm3d(4), nn.ReLU(),
            nn.MaxPool3d(2), nn.ConvTranspose3d(4, 2, 2, stride=2),
        )  # fmt: skip
        self.sequence = nn.Sequential(
            nn.Conv1d(12, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.ConvTranspose1d(6, 3, 4, 2, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.sequence(self.volume(x).flatten(1, 2).flatten(2))


class Siamese(nn.Module):
    """One network applied to two images: its weights and its statistics are used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)
        )
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.norm(self.features(x) - self.features(y)).mean((2, 3))


class SpatialTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.locate = nn.Sequential(
            nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(16, 6)
        )
        self.conv = nn.Conv2d(1, 4, 3)
        nn.init.normal_(self.locate[-1].weight, 0, 0.05)
        self.locate[-1].bias.data = torch.tensor([0.93, 0.07, 0.03, -0.05, 0.9, 0.02])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        grid = F.affine_grid(self.locate(x).view(-1, 2, 3), list(x.shape), align_corners=False)
        y = F.grid_sample(x, grid, align_corners=False)
        z = F.grid_sample(x, grid * 0.9, padding_mode="reflection", align_corners=True)
        return self.conv(y).mean((2, 3)), z.mean((1, 3))


class DetectionHead(nn.Module):
    """The best of the anchors' boxes; how many depends on their scores."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()
        )
        self.classes, self.boxes = (nn.Conv2d(16, 4, 3, padding=1) for _ in range(2))
        steps = torch.arange(4.0)
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1)
        self.register_buffer("grid", grid.reshape(-1, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.body(x)
        scores, labels = self.classes(y).flatten(2).transpose(1, 2)[0].sigmoid().max(-1)
        position, size = self.boxes(y).flatten(2).transpose(1, 2)[0].split(2, -1)
        center, half = self.grid + position.tanh(), size.exp() / 2
        boxes = torch.cat([center - half, center + half], -1)
        best, index = scores.topk(10)
        kept = torch.nonzero(best > 0.5).squeeze(-1)
        return boxes[index][kept], best[kept], labels[index][kept]


def siamese() -> Architecture:
    """Two images instead of one."""
    inputs, others = ({n: torch.randn(b, 2, 8, 8) for n in "xy"} for b in (2, 3))
    return Architecture(Siamese(), inputs, others, {n: {0: "batch"} for n in "xy"})


def other_ranks() -> Architecture:
    """Volumes instead of images."""
    inputs, others = ({"x": torch.randn(b, 2, 6, 8, 8)} for b in (2, 3))
    return Architecture(OtherRanks(), inputs, others, BATCH)


ARCHITECTURES: dict[str, Callable[[], Architecture]] = {
    "cnn": lambda: images(Cnn(), 1, BATCH),
    "unet": lambda: images(Unet(), 3),
    "bicubic": lambda: images(Bicubic(), 3),
    "separable": lambda: images(Separable(), 3),
    "pools": lambda: images(Pools(), 4),
    "other_ranks": other_ranks,
    "siamese": siamese,
    "spatial_transformer": lambda: images(SpatialTransformer(), 1, BATCH),
    "detection_head": lambda: images(DetectionHead(), 3, {}),
}
