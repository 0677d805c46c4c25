"""The order of images in memory in which convolutions train fastest on this processor."""

from functools import cache

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.kinds import Tensor
from hetu.ops.measure import is_faster

_SHAPE = (2, 64, 32, 32)
"""Of the images that are measured with: large enough that calls do not count, 50 ms in all."""

_ORDERS = (torch.contiguous_format, torch.channels_last)


@cache
def gain_from_channels_last() -> bool:
    """Whether windows of many pixels and all channels, normalized, train faster on such images."""
    ways = [_Step(order) for order in _ORDERS]
    return is_faster(*ways)


class _Step:
    """A convolution, a batch norm and a ReLU, and their derivatives."""

    def __init__(self, order: torch.memory_format) -> None:
        channels = _SHAPE[1]
        self._x, self._gradient = (
            torch.full(_SHAPE, 0.5).contiguous(memory_format=order) for _ in range(2)
        )
        self._weight = torch.full((channels, channels, 3, 3), 0.5)
        self._scale, self._bias = torch.ones(channels), torch.zeros(channels)

    def __call__(self) -> tuple[Tensor, ...]:
        leaves = [self._x, self._weight, self._scale, self._bias]
        with torch.enable_grad():
            x, weight, *affine = (leaf.detach().requires_grad_() for leaf in leaves)
            y = F.conv2d(x, weight, padding=1)
            y = F.relu(F.batch_norm(y, None, None, *affine, training=True))
            return torch.autograd.grad(y, [x, weight, *affine], self._gradient)
