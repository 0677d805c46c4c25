"""Normalization by statistics of a batch, with the ReLU after it, of images that train.

The channels of images lie side by side.
"""

from functools import lru_cache
from typing import NamedTuple

import torch

from hetu.onednn import binding as c
from hetu.onednn.common import (
    MOST,
    Ints,
    channels_last,
    check_shapes,
    contiguous,
    in_channels_last,
    makes_channels_last,
    present,
)
from hetu.onednn.primitive import After, Description, Primitive


def batch_norm(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, epsilon: float, rectifies: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """`scale * (x - mean) / sqrt(variance + epsilon) + shift`, or its positive part.

    Then mean and variance of each channel over the whole batch, and a mask, which says in a form of
    the library's own where the result is positive, and is empty where it is as it is.
    """
    channels = x.shape[1]
    check_shapes(("scale", scale.shape, (channels,)), ("shift", shift.shape, (channels,)))
    pair = _primitives(tuple(x.shape), epsilon, rectifies, torch.get_num_threads())
    mean, variance, mask = _vector(channels), _vector(channels), _vector(pair.mask)
    masks = [mask] if rectifies else []
    given = channels_last(x), contiguous(scale), contiguous(shift)
    return pair.forward(*given, mean, variance, *masks), mean, variance, mask


def batch_norm_gradient(
    gradient: torch.Tensor,
    x: torch.Tensor,
    scale: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    mask: torch.Tensor,
    epsilon: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of images, scale and shift, from that of the result."""
    masks = [mask] if mask.numel() else []
    pair = _primitives(tuple(x.shape), epsilon, bool(masks), torch.get_num_threads())
    of_scale, of_shift = _vector(len(scale)), _vector(len(scale))
    given = channels_last(gradient), channels_last(x), contiguous(scale), mean, variance
    return pair.backward(*given, of_scale, of_shift, *masks), of_scale, of_shift


def _vector(size: int) -> torch.Tensor:
    return torch.empty(size, dtype=torch.float32)


class _Pair(NamedTuple):
    """The two directions, and the size of the mask that goes from one to the other."""

    forward: Primitive
    backward: Primitive
    mask: int


@lru_cache(MOST)
def _primitives(shape: Ints, epsilon: float, rectifies: bool, threads: int) -> _Pair:
    dnnl, images = present(), in_channels_last(shape)
    flags = c.USE_SCALE | c.USE_SHIFT | (c.FUSE_RELU if rectifies else 0)
    given = (dnnl.engine, c.TRAINING, images, images, epsilon, flags)
    forward = Description(dnnl, "batch_normalization_forward", given, After())
    given = (dnnl.engine, c.BACKWARD, images, images, images, epsilon, flags, forward)
    backward = Description(dnnl, "batch_normalization_backward", given, After())
    masks = [c.WORKSPACE] if rectifies else []
    there = c.SOURCE, c.SCALE, c.SHIFT, c.MEAN, c.VARIANCE, *masks
    back = (
        c.RESULT_GRADIENT, c.SOURCE, c.SCALE, c.MEAN, c.VARIANCE,
        c.SCALE_GRADIENT, c.SHIFT_GRADIENT, *masks,
    )  # fmt: skip
    return _Pair(
        makes_channels_last(forward, there, shape),
        makes_channels_last(backward, back, shape, c.SOURCE_GRADIENT),
        -(-forward.size(c.WORKSPACE) // 4) if rectifies else 0,
    )
