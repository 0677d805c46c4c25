"""Ranges, padding and other moves of elements, as they were before ai.onnx had them."""

import torch

from hetu.ops.ai_onnx import constant, select
from hetu.ops.ai_onnx import pad as padding
from hetu.ops.kinds import HostTensor, Indices, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("Range", domain=DOMAIN)
def range_(start: Tensor, limit: Tensor, delta: Tensor | None = None) -> Tensor:
    delta = torch.ones_like(start) if delta is None else delta
    return constant.range_(start.reshape(()), limit.reshape(()), delta.reshape(()))


@op("Pad", domain=DOMAIN, fixed=("value",))
def pad(
    data: Tensor, pads: Ints, value: HostTensor | None = None, *, mode: str = "constant"
) -> Tensor:
    return padding.pad(data, pads, value, mode=mode)


@op("ExpandDims", domain=DOMAIN)
def expand_dims(x: Tensor, axis: int) -> Tensor:
    return x.unsqueeze(axis)


@op("SampleOp", domain=DOMAIN)
def sample_op(x: Tensor) -> Tensor:
    return x


@op("Unique", domain=DOMAIN)
def unique(x: Tensor, *, unsigned: bool = False) -> tuple[Tensor, Indices, Indices]:
    y, _, places, counts = select.unique(x, sorted=0, unsigned=unsigned)
    return y, places, counts  # pyright: ignore[reportReturnType]
