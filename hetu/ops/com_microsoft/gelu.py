"""GELU with what ONNX Runtime fuses into it: biases, matrix products, gates."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.kinds import Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("Gelu", domain=DOMAIN)
def gelu(x: Tensor) -> Tensor:
    return F.gelu(x)


@op("FastGelu", domain=DOMAIN)
def fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.gelu(x if bias is None else x + bias, approximate="tanh")


@op("QuickGelu", domain=DOMAIN)
def quick_gelu(x: Tensor, *, alpha: float = 1.702) -> Tensor:
    return x * torch.sigmoid(alpha * x)


@op("BiasGelu", domain=DOMAIN)
def bias_gelu(a: Tensor, b: Tensor) -> Tensor:
    return F.gelu(a + b)


@op("BiasSplitGelu", domain=DOMAIN)
def bias_split_gelu(x: Tensor, bias: Tensor) -> Tensor:
    hidden, gate = (x + bias).chunk(2, -1)
    return hidden * F.gelu(gate)


@op("BiasAdd", domain=DOMAIN)
def bias_add(x: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    return x + bias + skip


@op("GemmFastGelu", domain=DOMAIN)
def gemm_fast_gelu(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    return fast_gelu(x @ w, bias)
