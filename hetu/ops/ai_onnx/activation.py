"""Activation functions."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.autocast import raised
from hetu.ops.kinds import Any, Ints, Tensor
from hetu.ops.registry import op

SOFTPLUS_LINEAR = 40.0
"""From here on log(1 + exp(x)) is x, in float64 too; torch's own threshold is made for float32."""


@op("Relu", calls=torch.relu)
def relu(x: Tensor) -> Tensor: ...


@op("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


@op("PRelu", since=7)
def p_relu(x: Tensor, slope: Tensor, *, unsigned: bool = False) -> Tensor:
    if unsigned:
        return x
    if x.is_floating_point() and _is_per_channel(x, slope):
        return F.prelu(x, slope.reshape(-1))
    return torch.where(x < 0, x * slope, x)


def _is_per_channel(x: Tensor, slope: Tensor) -> bool:
    """Whether `slope` is one number, or one per element of axis 1."""
    if slope.numel() == 1:
        return True
    is_at_channels = slope.ndim == x.ndim - 1 and slope.shape[0] == x.shape[1]
    return is_at_channels and slope.numel() == slope.shape[0]


@op("PRelu")
def p_relu_1(x: Tensor, slope: Tensor) -> Tensor:
    if slope.shape == x.shape:
        return p_relu(x, slope)
    return p_relu(x, slope.reshape(-1, *[1] * (x.ndim - 2)))


@op("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


@op("Selu", since=6)
def selu(
    x: Tensor, *, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323
) -> Tensor:
    return gamma * F.elu(x, alpha)


@op("Selu")
def selu_1(
    x: Tensor, *, alpha: float = 1.6732, gamma: float = 1.0507, consumed_inputs: Ints = ()
) -> Tensor:
    return selu(x, alpha=alpha, gamma=gamma)


@op("Celu", since=12)
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.celu(x, alpha)


@op("Sigmoid", calls=torch.sigmoid)
def sigmoid(x: Tensor) -> Tensor: ...


@op("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


@op("HardSwish", since=14)
def hard_swish(x: Tensor) -> Tensor:
    return F.hardswish(x)


@op("Tanh", calls=torch.tanh)
def tanh(input: Tensor) -> Tensor: ...


@op("Softplus")
def softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=SOFTPLUS_LINEAR)


@op("Softsign")
def softsign(input: Tensor) -> Tensor:
    return F.softsign(input)


class _Normalized(torch.autograd.Function):
    """Softmax or its logarithm, without a gradient for rows that are not numbers.

    Exported attention masks whole rows with -inf, whose softmax is NaN, and puts 0 in their place
    afterwards. By the chain rule the gradient there is 0 * NaN, and with it that of every weight.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, axis: int, is_log: bool) -> Tensor:
        ctx.axis, ctx.is_log = axis, is_log
        y = _plainly_normalized(x, axis, is_log)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (y,) = ctx.saved_tensors
        aten = torch.ops.aten
        of = aten._log_softmax_backward_data if ctx.is_log else aten._softmax_backward_data
        is_nan = y.narrow(ctx.axis, 0, 1).isnan()  # of a row masked whole, every element is
        gradient = of(grads[0], y, ctx.axis, y.dtype)
        return gradient.masked_fill_(is_nan, 0) if _may_hold(is_nan) else gradient, None, None


def _may_hold(mask: Tensor) -> bool:
    """Whether a mask may hold somewhere: known on the CPU alone, without waiting for a device."""
    return mask.device.type != "cpu" or torch.compiler.is_compiling() or bool(mask.any())


def _normalized(x: Tensor, axis: int, is_log: bool) -> Tensor:
    if x.requires_grad and x.ndim and x.numel():
        return _Normalized.apply(x, axis, is_log)  # pyright: ignore[reportReturnType]
    return _plainly_normalized(x, axis, is_log)


def _plainly_normalized(x: Tensor, axis: int, is_log: bool) -> Tensor:
    return torch.log_softmax(x, axis) if is_log else torch.softmax(x, axis)


@op("Softmax", since=13)
def softmax(input: Tensor, *, axis: int = -1) -> Tensor:
    return _normalized(input, axis, is_log=False)


@op("Softmax")
def softmax_1(input: Tensor, *, axis: int = 1) -> Tensor:
    return softmax(input.flatten(axis)).reshape(input.shape)


@op("LogSoftmax", since=13)
def log_softmax(input: Tensor, *, axis: int = -1) -> Tensor:
    return _normalized(raised(input), axis, is_log=True)


@op("LogSoftmax")
def log_softmax_1(input: Tensor, *, axis: int = 1) -> Tensor:
    return log_softmax(input.flatten(axis)).reshape(input.shape)


@op("Hardmax", since=13)
def hardmax(input: Tensor, *, axis: int = -1) -> Tensor:
    if not input.numel():
        return torch.zeros_like(input)
    return torch.zeros_like(input).scatter(axis, input.argmax(axis, keepdim=True), 1)


@op("Hardmax")
def hardmax_1(input: Tensor, *, axis: int = 1) -> Tensor:
    return hardmax(input.flatten(axis)).reshape(input.shape)


@op("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return torch.where(x > alpha, x, 0)  # F.threshold keeps NaN


@op("Shrink", since=9)
def shrink(input: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    # integers meet the float attributes in float64: float32 would not hold them
    x = input if input.is_floating_point() else input.double()
    shrunk = torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, 0))
    return shrunk.to(input.dtype)


@op("Gelu", since=20)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


@op("Mish", since=18)
def mish(x: Tensor) -> Tensor:
    return F.mish(x)


@op("Swish", since=24)
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@op("SwiGLU", since=28)
def swi_glu(a: Tensor, b: Tensor, *, alpha: float = 1.0) -> Tensor:
    return swish(a, alpha=alpha) * b
