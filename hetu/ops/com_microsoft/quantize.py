"""Quantization, and layers on 8-bit numbers that take or give floats."""

from hetu.errors import UnsupportedError
from hetu.ops import quantized as q
from hetu.ops.ai_onnx import quant
from hetu.ops.ai_onnx.rnn import lstm_step
from hetu.ops.com_microsoft.attention import attention
from hetu.ops.com_microsoft.layer_norm import embed_layer_normalization
from hetu.ops.kinds import Any, Floats, Ints, Strs, Tensor
from hetu.ops.recurrent import (
    Cell,
    States,
    activation_names,
    laid_out,
    make_activations,
    make_layer,
    stepped,
)
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("QuantizeLinear", domain=DOMAIN, fixed=("y_scale", "y_zero_point"))
def quantize_linear(x: Tensor, y_scale: Tensor, y_zero_point: Any = None, *, axis: int = 1) -> Any:
    return quant.quantize_linear_10(x, y_scale, y_zero_point, axis=axis)


@op("DequantizeLinear", domain=DOMAIN, fixed=("x_scale", "x_zero_point"))
def dequantize_linear(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor | None = None, *, axis: int = 1
) -> Any:
    return quant.dequantize_linear(x, x_scale, x_zero_point, axis=axis)


def _rounded(x: Tensor) -> Tensor:
    """`x` in the 256 steps from its smallest to its largest number.

    Rounding to them lets gradients through as if it were not there.
    """
    codes, scale, zero_point = quant.dynamic_quantize_linear(x.detach())
    steps = q.centered(codes, zero_point) * scale
    return steps + (x - x.detach()) if x.requires_grad else steps


@op("DynamicQuantizeMatMul", domain=DOMAIN, fixed=("b_scale", "b_zero_point"))
def dynamic_quantize_mat_mul(
    a: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    y = _rounded(a) @ (q.centered(b, b_zero_point) * b_scale)
    return y if bias is None else y + bias


@op(
    "MatMulIntegerToFloat", domain=DOMAIN,
    fixed=("a_scale", "b_scale", "a_zero_point", "b_zero_point"),
)  # fmt: skip
def mat_mul_integer_to_float(
    a: Tensor,
    b: Tensor,
    a_scale: Tensor,
    b_scale: Tensor,
    a_zero_point: Tensor | None = None,
    b_zero_point: Tensor | None = None,
    bias: Tensor | None = None,
) -> Any:
    sums = q.product(q.centered(a, a_zero_point), q.centered(b, b_zero_point))
    y = sums.to(q.wide(a_scale)) * (a_scale * b_scale)
    return (y if bias is None else y + bias).to(a_scale.dtype)


@op(
    "QGemm", domain=DOMAIN,
    fixed=("a_scale", "a_zero_point", "b_scale", "b_zero_point", "y_scale", "y_zero_point"),
)  # fmt: skip
def q_gemm(
    a: Tensor,
    a_scale: Tensor,
    a_zero_point: Tensor,
    b: Tensor,
    b_scale: Tensor,
    b_zero_point: Tensor,
    c: Tensor | None = None,
    y_scale: Tensor | None = None,
    y_zero_point: Any = None,
    *,
    alpha: float = 1.0,
    transA: bool = False,  # noqa: N803
    transB: bool = False,  # noqa: N803
) -> Any:
    a, b = a.t() if transA else a, b.t() if transB else b
    sums = q.product(q.centered(a, a_zero_point), q.centered(b, b_zero_point))
    sums = sums if c is None else sums.double() + c
    scale = alpha * a_scale * b_scale
    if y_scale is None:
        return sums.float() * scale
    return q.requantized(sums, scale / y_scale, y_zero_point)


@op(
    "QLinearConv", domain=DOMAIN,
    fixed=("x_scale", "x_zero_point", "w_scale", "w_zero_point", "y_scale", "y_zero_point"),
)  # fmt: skip
def q_linear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero_point: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero_point: Tensor,
    y_scale: Tensor,
    y_zero_point: Any,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    channels_last: bool = False,
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    y = quant.q_linear_conv(
        x.movedim(-1, 1) if channels_last else x, x_scale, x_zero_point,
        w, w_scale, w_zero_point, y_scale, y_zero_point, b,
        auto_pad=auto_pad, dilations=dilations, group=group, kernel_shape=kernel_shape,
        pads=pads, strides=strides,
    )  # fmt: skip
    return y.movedim(1, -1) if channels_last else y


@op("MulInteger", domain=DOMAIN, fixed=("a_zero_point", "b_zero_point"))
def mul_integer(
    a: Tensor, a_zero_point: Tensor | None, b: Tensor, b_zero_point: Tensor | None = None
) -> Any:
    return q.centered(a, a_zero_point) * q.centered(b, b_zero_point)


@op(
    "QAttention", domain=DOMAIN,
    fixed=("input_scale", "weight_scale", "input_zero_point", "weight_zero_point"),
)  # fmt: skip
def q_attention(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    input_scale: Tensor,
    weight_scale: Tensor,
    mask_index: Any = None,
    input_zero_point: Tensor | None = None,
    weight_zero_point: Tensor | None = None,
    past: Tensor | None = None,
    *,
    do_rotary: bool = False,
    mask_filter_value: float = -10000.0,
    num_heads: int,
    past_present_share_buffer: bool = False,
    scale: float | None = None,
    unidirectional: bool = False,
) -> tuple[Any, Any | None]:
    if past_present_share_buffer:
        raise UnsupportedError("com.microsoft.QAttention with past_present_share_buffer")
    return attention(
        q.centered(input, input_zero_point) * input_scale,
        q.centered(weight, weight_zero_point) * weight_scale,
        bias, mask_index, past,
        do_rotary=do_rotary, mask_filter_value=mask_filter_value, num_heads=num_heads,
        scale=scale, unidirectional=unidirectional,
    )  # fmt: skip


@op(
    "QEmbedLayerNormalization", domain=DOMAIN,
    fixed=(
        "word_embedding_scale", "position_embedding_scale", "segment_embedding_scale",
        "gamma_scale", "beta_scale", "word_embedding_zero_point", "position_embedding_zero_point",
        "segment_embedding_zero_point", "gamma_zero_point", "beta_zero_point",
    ),
)  # fmt: skip
def q_embed_layer_normalization(
    input_ids: Any,
    segment_ids: Any | None,
    word_embedding_quant: Tensor,
    position_embedding_quant: Tensor,
    segment_embedding: Tensor | None,
    gamma_quant: Tensor,
    beta_quant: Tensor,
    mask: Any | None,
    word_embedding_scale: Tensor,
    position_embedding_scale: Tensor,
    segment_embedding_scale: Tensor | None,
    gamma_scale: Tensor,
    beta_scale: Tensor,
    word_embedding_zero_point: Tensor,
    position_embedding_zero_point: Tensor,
    segment_embedding_zero_point: Tensor | None,
    gamma_zero_point: Tensor,
    beta_zero_point: Tensor,
    *,
    epsilon: float = 1e-12,
) -> tuple[Any, Any]:
    def floats(codes: Tensor, scale: Tensor, zero_point: Tensor | None) -> Tensor:
        return q.centered(codes, zero_point) * scale

    segments = None
    if segment_embedding is not None and segment_embedding_scale is not None:
        segments = floats(segment_embedding, segment_embedding_scale, segment_embedding_zero_point)
    y, mask_index, _ = embed_layer_normalization(
        input_ids, segment_ids,
        floats(word_embedding_quant, word_embedding_scale, word_embedding_zero_point),
        floats(position_embedding_quant, position_embedding_scale, position_embedding_zero_point),
        segments,
        floats(gamma_quant, gamma_scale, gamma_zero_point),
        floats(beta_quant, beta_scale, beta_zero_point),
        mask, epsilon=epsilon,
    )  # fmt: skip
    return y, mask_index


@op(
    "DynamicQuantizeLSTM", domain=DOMAIN,
    fixed=("w_scale", "w_zero_point", "r_scale", "r_zero_point"),
)  # fmt: skip
def dynamic_quantize_lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    sequence_lens: Ints | None,
    initial_h: Tensor | None,
    initial_c: Tensor | None,
    p: Tensor | None,
    w_scale: Tensor,
    w_zero_point: Tensor,
    r_scale: Tensor,
    r_zero_point: Tensor,
    *,
    activation_alpha: Floats = (),
    activation_beta: Floats = (),
    activations: Strs | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: bool = False,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    weights = _by_gate(w, w_scale, w_zero_point), _by_gate(r, r_scale, r_zero_point)
    initial = (initial_h, initial_c)
    layer = make_layer(_rounded(x), *weights, b, sequence_lens, initial, direction, 0, 4)
    names = activation_names(activations, ("sigmoid", "tanh", "tanh"), layer)
    clips = (clip, clip, None)
    functions = make_activations(names, activation_alpha, activation_beta, layer, clips)

    def make_cell(d: int, r: Tensor, b: Tensor | None) -> Cell:
        peepholes = (None,) * 3 if p is None else p[d].chunk(3)

        def cell(gates: Tensor, states: States) -> States:
            states = (_rounded(states[0]), states[1])
            return lstm_step(r, b, functions[d], peepholes, input_forget, gates, states)

        return cell

    return laid_out(*stepped(layer, make_cell), 0)


def _by_gate(codes: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """Weights (directions, inputs, gates) as LSTM has them: (directions, gates, inputs)."""
    spread = (scale.shape[0], 1, -1)
    zero_point = zero_point.reshape(spread)
    return (q.centered(codes, zero_point) * scale.reshape(spread)).transpose(1, 2)
