"""Convolutions and pools with channels last."""

from hetu.ops.ai_onnx import conv, pool
from hetu.ops.com_microsoft.fused import fused_conv
from hetu.ops.kinds import Floats, Ints, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("NhwcConv", domain=DOMAIN)
def nhwc_conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    y = conv.conv(
        x.movedim(-1, 1), w, b, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return y.movedim(1, -1)


@op("NhwcFusedConv", domain=DOMAIN)
def nhwc_fused_conv(
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
    y = fused_conv(
        x.movedim(-1, 1), w, b, None if z is None else z.movedim(-1, 1),
        activation=activation, activation_params=activation_params, auto_pad=auto_pad,
        dilations=dilations, group=group, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return y.movedim(1, -1)


@op("NhwcMaxPool", domain=DOMAIN)
def nhwc_max_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Tensor:
    y, _ = pool.max_pool(
        x.movedim(-1, 1), auto_pad=auto_pad, ceil_mode=ceil_mode, dilations=dilations,
        kernel_shape=kernel_shape, pads=pads, strides=strides, n_outputs=1,
    )  # fmt: skip
    return y.movedim(1, -1)
