"""Normalization by statistics of a batch, and what running statistics move to."""

from typing import Any

import torch

from hetu import onednn
from hetu.ops.kinds import Tensor


def parameter(given: Tensor, x: Tensor) -> Tensor:
    """A scale or statistic as torch's kernel wants it: the gradient's reads expanded ones wrong."""
    return given.to(_parameter_type(x)).contiguous()


def by_channel(x: Tensor) -> Tensor:
    """`x` with an axis of channels: a tensor of rank 1 is one channel."""
    return x.unsqueeze(1) if x.ndim == 1 else x


def normalize_batch(
    x: Tensor, scale: Tensor, b: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The normalized batch, its mean and its population variance, without their gradients.

    torch computes the statistics on its way: with momentum 1 they replace the running ones.
    """
    kind = _parameter_type(x)
    mean, var = (torch.zeros(scale.shape, dtype=kind, device=x.device) for _ in range(2))
    y = torch.batch_norm(
        by_channel(x), parameter(scale, x), parameter(b, x), mean, var, True, 1.0, epsilon,
        torch.backends.cudnn.enabled,
    )  # fmt: skip
    count = _count(x)
    var = var * ((count - 1) / count) if count > 1 else torch.zeros_like(var)
    return y.view_as(x), mean, var


def normalize_images(
    x: Tensor, scale: Tensor, b: Tensor, epsilon: float, rectifies: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """As `normalize_batch`, its positive part if it `rectifies`, for float32 images.

    By oneDNN's library where the channels lie side by side, and differentiable once there.
    """
    if x.is_contiguous(memory_format=torch.channels_last):
        return _Normalization.apply(x, scale, b, epsilon, rectifies)
    y, mean, var = normalize_batch(x, scale, b, epsilon)
    return torch.relu(y) if rectifies else y, mean, var


class _Normalization(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, b: Tensor, epsilon: float, rectifies: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, mean, var, mask = onednn.batch_norm(x, scale, b, epsilon, rectifies)
        ctx.save_for_backward(x, scale, mean, var, mask)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, mean, var, mask = ctx.saved_tensors
        given = x, scale, mean, var, mask, ctx.epsilon
        return *onednn.batch_norm_gradient(gradient, *given), None, None


def unbiased(var: Tensor, x: Tensor) -> Tensor:
    """What the running variance of a node moves to that the file has in its inference form.

    ONNX does not say how such a node trains; torch, TensorFlow and cuDNN do it like this.
    """
    count = _count(x)
    return var * (count / (count - 1)) if count > 1 else var


def move(running: Tensor, batch: Tensor, momentum: float) -> Tensor:
    """A running statistic after a batch."""
    return running.detach() * momentum + batch.to(running.dtype) * (1 - momentum)


def _parameter_type(x: Tensor) -> torch.dtype:
    """The type in which torch takes scale and statistics of a batch normalization."""
    return torch.promote_types(x.dtype, torch.float32)


def _count(x: Tensor) -> int:
    """How many values each channel's statistics are of."""
    return x.numel() // max(by_channel(x).shape[1], 1)
