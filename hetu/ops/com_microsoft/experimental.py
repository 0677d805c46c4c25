"""Operators of ai.onnx that were never released, which ONNX Runtime kept for old exporters."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.ai_onnx import select
from hetu.ops.kinds import Any, Floats, Ints, Tensor
from hetu.ops.registry import op


@op("Affine")
def affine(x: Tensor, *, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    return alpha * x + beta


@op("Scale")
def scale(input: Tensor, *, scale: float = 1.0) -> Tensor:
    return input * scale


@op("ImageScaler")
def image_scaler(input: Tensor, *, bias: Floats = (), scale: float = 1.0) -> Tensor:
    y = input * scale
    return y + y.new_tensor(bias).reshape(-1, 1, 1) if bias else y


@op("Crop")
def crop(input: Tensor, *, border: Ints = (0, 0, 0, 0), scale: Ints | None = None) -> Tensor:
    left, top, right, bottom = border
    height, width = input.shape[2] - top - bottom, input.shape[3] - left - right
    if scale:
        height, width = scale
    return input[:, :, top : top + height, left : left + width]


@op("ParametricSoftplus")
def parametric_softplus(x: Tensor, *, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    return alpha * F.softplus(beta * x)


@op("ScaledTanh")
def scaled_tanh(input: Tensor, *, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    return alpha * torch.tanh(beta * input)


@op("DynamicSlice")
def dynamic_slice(data: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None) -> Tensor:
    return select.slice_(data, starts, ends, axes)


@op("MemcpyFromHost")
def memcpy_from_host(x: Any) -> Any:
    return x


@op("MemcpyToHost")
def memcpy_to_host(x: Any) -> Any:
    return x
