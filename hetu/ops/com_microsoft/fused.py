"""Products and convolutions with what ONNX Runtime fuses into them; transforms, triangles."""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError, show
from hetu.ops.ai_onnx.conv import conv
from hetu.ops.ai_onnx.matmul import gemm
from hetu.ops.kinds import Floats, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"

_ACTIVATIONS: dict[str, tuple[Callable[..., Tensor], tuple[float, ...]]] = {
    "": (lambda x: x, ()),
    "Clip": (torch.clamp, (-torch.inf, torch.inf)),
    "Elu": (F.elu, (1.0,)),
    "HardSigmoid": (lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1), (0.2, 0.5)),
    "HardSwish": (F.hardswish, ()),
    "LeakyRelu": (F.leaky_relu, (0.01,)),
    "Relu": (torch.relu, ()),
    "Selu": (
        lambda x, alpha, gamma: gamma * F.elu(x, alpha),
        (1.67326319217681884765625, 1.05070102214813232421875),
    ),
    "Sigmoid": (torch.sigmoid, ()),
    "Silu": (F.silu, ()),
    "Softplus": (F.softplus, ()),
    "Softsign": (F.softsign, ()),
    "Tanh": (torch.tanh, ()),
    "ThresholdedRelu": (lambda x, alpha: torch.where(x > alpha, x, 0), (1.0,)),
}
"""What each fused activation computes, and the parameters that it has where none are given."""


def _activated(x: Tensor, activation: str, given: Sequence[float | None]) -> Tensor:
    if activation not in _ACTIVATIONS:
        raise ModelError(f"unknown activation {show(activation)}")
    function, defaults = _ACTIVATIONS[activation]
    values = (*given, *(None,) * len(defaults))
    return function(x, *(d if v is None else v for v, d in zip(values, defaults, strict=False)))


@op("FusedConv", domain=DOMAIN)
def fused_conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    z: Tensor | None = None,
    *,
    activation: str = "",
    activation_params: Floats = (),
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    y = conv(
        x, w, b, auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    return _activated(y if z is None else y + z, activation, activation_params)


@op("FusedGemm", domain=DOMAIN)
def fused_gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    activation: str = "",
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: bool = False,  # noqa: N803
    transB: bool = False,  # noqa: N803
) -> Tensor:
    y = gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    second = activation_gamma if activation == "Selu" else activation_beta
    return _activated(y, activation, (activation_alpha, second))


@op("FusedMatMul", domain=DOMAIN)
def fused_mat_mul(
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1.0,
    transA: bool = False,  # noqa: N803
    transB: bool = False,  # noqa: N803
    transBatchA: bool = False,  # noqa: N803
    transBatchB: bool = False,  # noqa: N803
) -> Tensor:
    y = _arranged(a, transA, transBatchA) @ _arranged(b, transB, transBatchB)
    return y if alpha == 1 else y * alpha


_ALONG_AN_AXIS = {"LogSoftmax": torch.log_softmax, "Softmax": torch.softmax}


@op("FusedMatMulActivation", domain=DOMAIN)
def fused_mat_mul_activation(
    a: Tensor,
    b: Tensor,
    *,
    activation: str,
    activation_alpha: float | None = None,
    activation_axis: int = -1,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    transA: bool = False,  # noqa: N803
    transB: bool = False,  # noqa: N803
    transBatchA: bool = False,  # noqa: N803
    transBatchB: bool = False,  # noqa: N803
) -> Tensor:
    y = fused_mat_mul(
        a, b, alpha=alpha, transA=transA, transB=transB, transBatchA=transBatchA,
        transBatchB=transBatchB,
    )  # fmt: skip
    if activation in _ALONG_AN_AXIS:
        return _ALONG_AN_AXIS[activation](y, activation_axis)
    second = activation_gamma if activation == "Selu" else activation_beta
    return _activated(y, activation, (activation_alpha, second))


@op("BiasSoftmax", domain=DOMAIN)
def bias_softmax(data: Tensor, bias: Tensor, *, axis: int = 1, is_inner_broadcast: bool) -> Tensor:
    total = data + bias
    return total.flatten(axis % data.ndim).softmax(-1).reshape(total.shape)


@op("TransposeMatMul", domain=DOMAIN)
def transpose_mat_mul(
    a: Tensor,
    b: Tensor,
    *,
    alpha: float = 1.0,
    transA: bool = False,  # noqa: N803
    transB: bool = False,  # noqa: N803
) -> Tensor:
    return fused_mat_mul(a, b, alpha=alpha, transA=transA, transB=transB)


def _arranged(x: Tensor, transposed: bool, batch_transposed: bool) -> Tensor:
    """The first axis brought behind those of the batch, then the last two exchanged; no vector."""
    if x.ndim < 2:
        return x
    x = x.movedim(0, -2) if batch_transposed else x
    return x.transpose(-1, -2) if transposed else x


@op("Inverse", domain=DOMAIN)
def inverse(x: Tensor) -> Tensor:
    return torch.linalg.inv(_computable(x)).to(x.dtype)


@op("Trilu", domain=DOMAIN)
def trilu(x: Tensor, k: int = 0, *, upper: bool = True) -> Tensor:
    return torch.triu(x, k) if upper else torch.tril(x, k)


@op("Rfft", domain=DOMAIN)
def rfft(
    x: Tensor, *, normalized: bool = False, onesided: bool = True, signal_ndim: int = 1
) -> Tensor:
    spectrum = torch.fft.rfftn(_computable(x), dim=tuple(range(-signal_ndim, 0)))
    return torch.view_as_real(spectrum).to(x.dtype)


@op("Irfft", domain=DOMAIN)
def irfft(
    x: Tensor, *, normalized: bool = False, onesided: bool = True, signal_ndim: int
) -> Tensor:
    spectrum = torch.view_as_complex(_computable(x).contiguous())
    return torch.fft.irfftn(spectrum, dim=tuple(range(-signal_ndim, 0))).to(x.dtype)


def _computable(x: Tensor) -> Tensor:
    """In float32 at least: torch has neither inverses nor transforms of smaller types."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@op("ComplexMul", domain=DOMAIN)
def complex_mul(a: Tensor, b: Tensor) -> Tensor:
    (a_real, a_imaginary), (b_real, b_imaginary) = a.unbind(-1), b.unbind(-1)
    real = a_real * b_real - a_imaginary * b_imaginary
    return torch.stack((real, a_real * b_imaginary + a_imaginary * b_real), -1)


@op("ComplexMulConj", domain=DOMAIN)
def complex_mul_conj(a: Tensor, b: Tensor) -> Tensor:
    return complex_mul(a, b * b.new_tensor([1, -1]))
