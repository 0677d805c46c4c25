"""Experimental operators of opsets 1 to 9: ONNX dropped them, ONNX Runtime has them still."""

import torch

from hetu.errors import ModelError
from hetu.ops.kinds import Floats, Ints, Tensor
from hetu.ops.registry import op


@op("Affine")
def affine(x: Tensor, *, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    return alpha * x + beta


@op("ParametricSoftplus")
def parametric_softplus(x: Tensor, *, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    return alpha * torch.logaddexp(beta * x, torch.zeros_like(x))


@op("ScaledTanh")
def scaled_tanh(input: Tensor, *, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    return alpha * torch.tanh(beta * input)


@op("Scale")
def scale(input: Tensor, *, scale: float = 1.0) -> Tensor:
    return input * scale


@op("ImageScaler")
def image_scaler(input: Tensor, *, bias: Floats = (), scale: float = 1.0) -> Tensor:
    return input * scale + input.new_tensor(bias or (0.0,)).reshape(-1, 1, 1)


@op("Crop")
def crop(input: Tensor, *, border: Ints = (0, 0, 0, 0), scale: Ints | None = None) -> Tensor:
    """`border` is left, top, right, bottom; of a `scale`, height and width, only left and top."""
    left, top, right, bottom = border
    height, width = (
        (input.shape[2] - top - bottom, input.shape[3] - left - right) if scale is None else scale
    )
    if min(height, width) < 0 or top + height > input.shape[2] or left + width > input.shape[3]:
        raise ModelError(f"Crop: {border}, {scale} leave nothing of {tuple(input.shape)}")
    return input[:, :, top : top + height, left : left + width]
