"""Ranges, padding, lookups, distances and sums that ai.onnx did not have, or in another form."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import UnsupportedError, show
from hetu.ops import quantized as q
from hetu.ops.ai_onnx import constant, index, select
from hetu.ops.ai_onnx import pad as padding
from hetu.ops.kinds import Any, HostTensor, Indices, Ints, Mask, Tensor
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


@op("UnfoldTensor", domain=DOMAIN)
def unfold_tensor(input: Tensor, *, dim: int = -1, size: int, step: int = 1) -> Tensor:
    return input.unfold(dim, size, step)


@op("GatherND", domain=DOMAIN)
def gather_nd(data: Tensor, indices: Indices) -> Tensor:
    return index.gather_nd(data, indices)


@op("TorchEmbedding", domain=DOMAIN)
def torch_embedding(
    weight: Tensor,
    indices: Any,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Tensor:
    if not weight.is_floating_point():
        return weight[indices]
    return F.embedding(
        indices, weight, padding_idx=padding_idx, scale_grad_by_freq=scale_grad_by_freq
    )


@op("CDist", domain=DOMAIN)
def c_dist(a: Tensor, b: Tensor, *, metric: str = "sqeuclidean") -> Tensor:
    if metric not in ("sqeuclidean", "euclidean"):
        raise UnsupportedError(f"com.microsoft.CDist with metric {show(metric)}")
    squares = (a[:, None] - b).square().sum(-1)
    if metric == "sqeuclidean":
        return squares
    # the root has no derivative at zero
    is_zero = squares == 0
    return squares.masked_fill(is_zero, 1).sqrt().masked_fill(is_zero, 0)


@op("IsAllFinite", domain=DOMAIN)
def is_all_finite(*input: Tensor, isinf_only: bool = False, isnan_only: bool = False) -> Mask:
    found = [
        (torch.isnan(x) & (not isinf_only)) | (torch.isinf(x) & (not isnan_only)) for x in input
    ]
    return ~torch.stack([x.any() for x in found]).any()


@op("ReduceSumInteger", domain=DOMAIN)
def reduce_sum_integer(data: Any, *, axes: Ints, keepdims: bool) -> Any:
    sums = data.sum(axes, keepdim=keepdims, dtype=torch.int32)
    return sums if data.dtype is torch.int8 else sums.to(torch.uint32)


@op("MatMulInteger16", domain=DOMAIN)
def mat_mul_integer16(a: Any, b: Any) -> Any:
    sums = q.to_int32(a.double() @ b.double())
    is_unsigned = a.dtype is b.dtype is torch.uint16
    return sums.view(torch.uint32) if is_unsigned else sums
