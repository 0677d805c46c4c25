"""Signatures of the operators; generated from the kernels by `make generate`."""

from typing import Any

from hetu.api.value import Value
from hetu.ir import Graph

def Abs(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Acos(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Acosh(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Adagrad(  # noqa: N802
    r: Any,
    t: Any,
    *inputs: Any,
    decay_factor: float = 0.0,
    epsilon: float = 1e-06,
    norm_coefficient: float = 0.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.preview.training",
) -> Any: ...
def Adam(  # noqa: N802
    r: Any,
    t: Any,
    *inputs: Any,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-06,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.preview.training",
) -> Any: ...
def Add(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def AffineGrid(  # noqa: N802
    theta: Any,
    size: Any,
    *,
    align_corners: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def And(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ArgMax(  # noqa: N802
    data: Any,
    *,
    axis: int = 0,
    keepdims: bool = True,
    select_last_index: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ArgMin(  # noqa: N802
    data: Any,
    *,
    axis: int = 0,
    keepdims: bool = True,
    select_last_index: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ArrayFeatureExtractor(  # noqa: N802
    x: Any,
    y: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Asin(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Asinh(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Atan(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Atanh(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Attention(  # noqa: N802
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    past_key: Any = None,
    past_value: Any = None,
    nonpad_kv_seqlen: Any = None,
    *,
    is_causal: bool = False,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def AveragePool(  # noqa: N802
    x: Any,
    *,
    auto_pad: str = 'NOTSET',
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: list[int] | tuple[int, ...] | None = None,
    kernel_shape: list[int] | tuple[int, ...],
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def BatchNormalization(  # noqa: N802
    x: Any,
    scale: Any,
    b: Any,
    input_mean: Any,
    input_var: Any,
    *,
    epsilon: float = 1e-05,
    momentum: float = 0.9,
    training_mode: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Bernoulli(  # noqa: N802
    input: Any,
    *,
    dtype: Any | None = None,
    seed: float | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Binarizer(  # noqa: N802
    x: Any,
    *,
    threshold: float = 0.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def BitCast(  # noqa: N802
    input: Any,
    *,
    to: Any,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def BitShift(  # noqa: N802
    x: Any,
    y: Any,
    *,
    direction: str,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def BitwiseAnd(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def BitwiseNot(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def BitwiseOr(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def BitwiseXor(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def BlackmanWindow(  # noqa: N802
    size: Any,
    *,
    output_datatype: Any | None = None,
    periodic: bool = True,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Cast(  # noqa: N802
    input: Any,
    *,
    to: Any,
    saturate: bool = True,
    round_mode: str = 'up',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def CastLike(  # noqa: N802
    input: Any,
    target_type: Any,
    *,
    saturate: bool = True,
    round_mode: str = 'up',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def CastMap(  # noqa: N802
    x: Any,
    *,
    cast_to: str = 'TO_FLOAT',
    map_form: str = 'DENSE',
    max_map: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def CategoryMapper(  # noqa: N802
    x: Any,
    *,
    cats_int64s: list[int] | tuple[int, ...] = (),
    cats_strings: list[str] | tuple[str, ...] = (),
    default_int64: int = -1,
    default_string: str = '_Unused',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def CausalConvWithState(  # noqa: N802
    input: Any,
    weight: Any,
    bias: Any = None,
    past_state: Any = None,
    *,
    activation: str = 'none',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Ceil(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Celu(  # noqa: N802
    x: Any,
    *,
    alpha: float = 1.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def CenterCropPad(  # noqa: N802
    input_data: Any,
    shape: Any,
    *,
    axes: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Clip(  # noqa: N802
    input: Any,
    min: Any = None,
    max: Any = None,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Col2Im(  # noqa: N802
    input: Any,
    image_shape: Any,
    block_shape: Any,
    *,
    dilations: list[int] | tuple[int, ...] | None = None,
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Compress(  # noqa: N802
    input: Any,
    condition: Any,
    *,
    axis: int | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Concat(  # noqa: N802
    *inputs: Any,
    axis: int,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ConcatFromSequence(  # noqa: N802
    input_sequence: Any,
    *,
    axis: int,
    new_axis: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Constant(  # noqa: N802
    *,
    value: Any | None = None,
    sparse_value: Any | None = None,
    value_float: float | None = None,
    value_floats: list[float] | tuple[float, ...] | None = None,
    value_int: int | None = None,
    value_ints: list[int] | tuple[int, ...] | None = None,
    value_string: str | None = None,
    value_strings: list[str] | tuple[str, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ConstantOfShape(  # noqa: N802
    input: Any,
    *,
    value: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Conv(  # noqa: N802
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = 'NOTSET',
    dilations: list[int] | tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: list[int] | tuple[int, ...] | None = None,
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ConvInteger(  # noqa: N802
    x: Any,
    w: Any,
    x_zero_point: Any = None,
    w_zero_point: Any = None,
    *,
    auto_pad: str = 'NOTSET',
    dilations: list[int] | tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: list[int] | tuple[int, ...] | None = None,
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ConvTranspose(  # noqa: N802
    x: Any,
    w: Any,
    b: Any = None,
    *,
    auto_pad: str = 'NOTSET',
    dilations: list[int] | tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: list[int] | tuple[int, ...] | None = None,
    output_padding: list[int] | tuple[int, ...] | None = None,
    output_shape: list[int] | tuple[int, ...] | None = None,
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Cos(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Cosh(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def CumProd(  # noqa: N802
    x: Any,
    axis: Any,
    *,
    exclusive: bool = False,
    reverse: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def CumSum(  # noqa: N802
    x: Any,
    axis: Any,
    *,
    exclusive: bool = False,
    reverse: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def DFT(  # noqa: N802
    input: Any,
    dft_length: Any = None,
    axis: Any = -2,
    *,
    inverse: bool = False,
    onesided: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def DeformConv(  # noqa: N802
    x: Any,
    w: Any,
    offset: Any,
    b: Any = None,
    mask: Any = None,
    *,
    dilations: list[int] | tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: list[int] | tuple[int, ...] | None = None,
    offset_group: int = 1,
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def DepthToSpace(  # noqa: N802
    input: Any,
    *,
    blocksize: int,
    mode: str = 'DCR',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def DequantizeLinear(  # noqa: N802
    x: Any,
    x_scale: Any,
    x_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Det(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def DictVectorizer(  # noqa: N802
    x: Any,
    *,
    int64_vocabulary: list[int] | tuple[int, ...] = (),
    string_vocabulary: list[str] | tuple[str, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Div(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Dropout(  # noqa: N802
    data: Any,
    ratio: Any = 0.5,
    training_mode: Any = False,
    *,
    seed: int | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def DynamicQuantizeLinear(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Einsum(  # noqa: N802
    *inputs: Any,
    equation: str,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Elu(  # noqa: N802
    x: Any,
    *,
    alpha: float = 1.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Equal(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Erf(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Exp(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Expand(  # noqa: N802
    input: Any,
    shape: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def EyeLike(  # noqa: N802
    input: Any,
    *,
    dtype: Any | None = None,
    k: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def FeatureVectorizer(  # noqa: N802
    *x: Any,
    inputdimensions: list[int] | tuple[int, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Flatten(  # noqa: N802
    input: Any,
    *,
    axis: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Floor(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GRU(  # noqa: N802
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: list[float] | tuple[float, ...] = (),
    activation_beta: list[float] | tuple[float, ...] = (),
    activations: list[str] | tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = 'forward',
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Gather(  # noqa: N802
    data: Any,
    indices: Any,
    *,
    axis: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GatherElements(  # noqa: N802
    data: Any,
    indices: Any,
    *,
    axis: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GatherND(  # noqa: N802
    data: Any,
    indices: Any,
    *,
    batch_dims: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Gelu(  # noqa: N802
    x: Any,
    *,
    approximate: str = 'none',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Gemm(  # noqa: N802
    a: Any,
    b: Any,
    c: Any = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: bool = False,
    transB: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GlobalAveragePool(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GlobalLpPool(  # noqa: N802
    x: Any,
    *,
    p: int = 2,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GlobalMaxPool(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Greater(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GreaterOrEqual(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GridSample(  # noqa: N802
    x: Any,
    grid: Any,
    *,
    align_corners: bool = False,
    mode: str = 'linear',
    padding_mode: str = 'zeros',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def GroupNormalization(  # noqa: N802
    x: Any,
    scale: Any,
    bias: Any,
    *,
    epsilon: float = 1e-05,
    num_groups: int,
    stash_type: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def HammingWindow(  # noqa: N802
    size: Any,
    *,
    output_datatype: Any | None = None,
    periodic: bool = True,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def HannWindow(  # noqa: N802
    size: Any,
    *,
    output_datatype: Any | None = None,
    periodic: bool = True,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def HardSigmoid(  # noqa: N802
    x: Any,
    *,
    alpha: float = 0.2,
    beta: float = 0.5,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def HardSwish(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Hardmax(  # noqa: N802
    input: Any,
    *,
    axis: int = -1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Identity(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def If(  # noqa: N802
    cond: Any,
    *,
    then_branch: Graph,
    else_branch: Graph,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def ImageDecoder(  # noqa: N802
    encoded_stream: Any,
    *,
    pixel_format: str = 'RGB',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Imputer(  # noqa: N802
    x: Any,
    *,
    imputed_value_floats: list[float] | tuple[float, ...] = (),
    imputed_value_int64s: list[int] | tuple[int, ...] = (),
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def InstanceNormalization(  # noqa: N802
    input: Any,
    scale: Any,
    b: Any,
    *,
    epsilon: float = 1e-05,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def IsInf(  # noqa: N802
    x: Any,
    *,
    detect_negative: bool = True,
    detect_positive: bool = True,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def IsNaN(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def LRN(  # noqa: N802
    x: Any,
    *,
    alpha: float = 0.0001,
    beta: float = 0.75,
    bias: float = 1.0,
    size: int,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def LSTM(  # noqa: N802
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    initial_c: Any = None,
    p: Any = None,
    *,
    activation_alpha: list[float] | tuple[float, ...] = (),
    activation_beta: list[float] | tuple[float, ...] = (),
    activations: list[str] | tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = 'forward',
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def LabelEncoder(  # noqa: N802
    x: Any,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = '_Unused',
    default_tensor: Any | None = None,
    keys_floats: list[float] | tuple[float, ...] = (),
    keys_int64s: list[int] | tuple[int, ...] = (),
    keys_strings: list[str] | tuple[str, ...] = (),
    keys_tensor: Any | None = None,
    values_floats: list[float] | tuple[float, ...] = (),
    values_int64s: list[int] | tuple[int, ...] = (),
    values_strings: list[str] | tuple[str, ...] = (),
    values_tensor: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def LayerNormalization(  # noqa: N802
    x: Any,
    scale: Any,
    b: Any = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-05,
    stash_type: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def LeakyRelu(  # noqa: N802
    x: Any,
    *,
    alpha: float = 0.01,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Less(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def LessOrEqual(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def LinearAttention(  # noqa: N802
    query: Any,
    key: Any,
    value: Any,
    past_state: Any = None,
    decay: Any = None,
    beta: Any = None,
    *,
    chunk_size: int = 64,
    kv_num_heads: int,
    q_num_heads: int,
    scale: float = 0.0,
    update_rule: str = 'gated_delta',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def LinearClassifier(  # noqa: N802
    x: Any,
    *,
    coefficients: list[float] | tuple[float, ...],
    classlabels_ints: list[int] | tuple[int, ...] = (),
    classlabels_strings: list[str] | tuple[str, ...] = (),
    intercepts: list[float] | tuple[float, ...] = (),
    multi_class: int = 0,
    post_transform: str = 'NONE',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Any: ...
def LinearRegressor(  # noqa: N802
    x: Any,
    *,
    coefficients: list[float] | tuple[float, ...] = (),
    intercepts: list[float] | tuple[float, ...] = (),
    post_transform: str = 'NONE',
    targets: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Log(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def LogSoftmax(  # noqa: N802
    input: Any,
    *,
    axis: int = -1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Loop(  # noqa: N802
    m: Any = None,
    cond: Any = None,
    *v_initial: Any,
    body: Graph,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def LpNormalization(  # noqa: N802
    input: Any,
    *,
    axis: int = -1,
    p: int = 2,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def LpPool(  # noqa: N802
    x: Any,
    *,
    auto_pad: str = 'NOTSET',
    ceil_mode: bool = False,
    dilations: list[int] | tuple[int, ...] | None = None,
    kernel_shape: list[int] | tuple[int, ...],
    p: int = 2,
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def MatMul(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def MatMulInteger(  # noqa: N802
    a: Any,
    b: Any,
    a_zero_point: Any = None,
    b_zero_point: Any = None,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Max(  # noqa: N802
    *data_0: Any,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def MaxPool(  # noqa: N802
    x: Any,
    *,
    auto_pad: str = 'NOTSET',
    ceil_mode: bool = False,
    dilations: list[int] | tuple[int, ...] | None = None,
    kernel_shape: list[int] | tuple[int, ...],
    pads: list[int] | tuple[int, ...] | None = None,
    storage_order: int = 0,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def MaxRoiPool(  # noqa: N802
    x: Any,
    rois: Any,
    *,
    pooled_shape: list[int] | tuple[int, ...],
    spatial_scale: float = 1.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def MaxUnpool(  # noqa: N802
    x: Any,
    i: Any,
    output_shape: Any = None,
    *,
    kernel_shape: list[int] | tuple[int, ...],
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Mean(  # noqa: N802
    *data_0: Any,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def MeanVarianceNormalization(  # noqa: N802
    x: Any,
    *,
    axes: list[int] | tuple[int, ...] = (0, 2, 3),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def MelWeightMatrix(  # noqa: N802
    num_mel_bins: Any,
    dft_length: Any,
    sample_rate: Any,
    lower_edge_hertz: Any,
    upper_edge_hertz: Any,
    *,
    output_datatype: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Min(  # noqa: N802
    *data_0: Any,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Mish(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Mod(  # noqa: N802
    a: Any,
    b: Any,
    *,
    fmod: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Momentum(  # noqa: N802
    r: Any,
    t: Any,
    *inputs: Any,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.preview.training",
) -> Any: ...
def Mul(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Multinomial(  # noqa: N802
    input: Any,
    *,
    dtype: Any | None = None,
    sample_size: int = 1,
    seed: float | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Neg(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def NegativeLogLikelihoodLoss(  # noqa: N802
    input: Any,
    target: Any,
    weight: Any = None,
    *,
    ignore_index: int | None = None,
    reduction: str = 'mean',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def NonMaxSuppression(  # noqa: N802
    boxes: Any,
    scores: Any,
    max_output_boxes_per_class: Any = 0,
    iou_threshold: Any = 0.0,
    score_threshold: Any = None,
    *,
    center_point_box: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def NonZero(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Normalizer(  # noqa: N802
    x: Any,
    *,
    norm: str = 'MAX',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Not(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def OneHot(  # noqa: N802
    indices: Any,
    depth: Any,
    values: Any,
    *,
    axis: int = -1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def OneHotEncoder(  # noqa: N802
    x: Any,
    *,
    cats_int64s: list[int] | tuple[int, ...] = (),
    cats_strings: list[str] | tuple[str, ...] = (),
    zeros: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Optional(  # noqa: N802
    input: Any = None,
    *,
    type: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def OptionalGetElement(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def OptionalHasElement(  # noqa: N802
    input: Any = None,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Or(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def PRelu(  # noqa: N802
    x: Any,
    slope: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Pad(  # noqa: N802
    data: Any,
    pads: Any,
    constant_value: Any = None,
    axes: Any = None,
    *,
    mode: str = 'constant',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Pow(  # noqa: N802
    x: Any,
    y: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def QLinearConv(  # noqa: N802
    x: Any,
    x_scale: Any,
    x_zero_point: Any,
    w: Any,
    w_scale: Any,
    w_zero_point: Any,
    y_scale: Any,
    y_zero_point: Any,
    b: Any = None,
    *,
    auto_pad: str = 'NOTSET',
    dilations: list[int] | tuple[int, ...] | None = None,
    group: int = 1,
    kernel_shape: list[int] | tuple[int, ...] | None = None,
    pads: list[int] | tuple[int, ...] | None = None,
    strides: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def QLinearMatMul(  # noqa: N802
    a: Any,
    a_scale: Any,
    a_zero_point: Any,
    b: Any,
    b_scale: Any,
    b_zero_point: Any,
    y_scale: Any,
    y_zero_point: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def QuantizeLinear(  # noqa: N802
    x: Any,
    y_scale: Any,
    y_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: Any | None = None,
    precision: Any | None = None,
    saturate: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RMSNormalization(  # noqa: N802
    x: Any,
    scale: Any,
    *,
    axis: int = -1,
    epsilon: float = 1e-05,
    stash_type: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RNN(  # noqa: N802
    x: Any,
    w: Any,
    r: Any,
    b: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    activation_alpha: list[float] | tuple[float, ...] = (),
    activation_beta: list[float] | tuple[float, ...] = (),
    activations: list[str] | tuple[str, ...] | None = None,
    clip: float | None = None,
    direction: str = 'forward',
    hidden_size: int | None = None,
    layout: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def RandomNormal(  # noqa: N802
    *,
    dtype: Any | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    shape: list[int] | tuple[int, ...],
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RandomNormalLike(  # noqa: N802
    input: Any,
    *,
    dtype: Any | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RandomUniform(  # noqa: N802
    *,
    dtype: Any | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
    shape: list[int] | tuple[int, ...],
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RandomUniformLike(  # noqa: N802
    input: Any,
    *,
    dtype: Any | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Range(  # noqa: N802
    start: Any,
    limit: Any,
    delta: Any,
    *,
    stash_type: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Reciprocal(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceL1(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceL2(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceLogSum(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceLogSumExp(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceMax(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceMean(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceMin(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceProd(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceSum(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReduceSumSquare(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    keepdims: bool = True,
    noop_with_empty_axes: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RegexFullMatch(  # noqa: N802
    x: Any,
    *,
    pattern: str = '',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Relu(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Reshape(  # noqa: N802
    data: Any,
    shape: Any,
    *,
    allowzero: bool = False,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Resize(  # noqa: N802
    x: Any,
    roi: Any = None,
    scales: Any = None,
    sizes: Any = None,
    *,
    antialias: bool = False,
    axes: list[int] | tuple[int, ...] | None = None,
    coordinate_transformation_mode: str = 'half_pixel',
    cubic_coeff_a: float = -0.75,
    exclude_outside: bool = False,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = 'stretch',
    mode: str = 'nearest',
    nearest_mode: str = 'round_prefer_floor',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ReverseSequence(  # noqa: N802
    input: Any,
    sequence_lens: Any,
    *,
    batch_axis: int = 1,
    time_axis: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RoiAlign(  # noqa: N802
    x: Any,
    rois: Any,
    batch_indices: Any,
    *,
    coordinate_transformation_mode: str = 'half_pixel',
    mode: str = 'avg',
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def RotaryEmbedding(  # noqa: N802
    x: Any,
    cos_cache: Any,
    sin_cache: Any,
    position_ids: Any = None,
    *,
    interleaved: bool = False,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Round(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def STFT(  # noqa: N802
    signal: Any,
    frame_step: Any,
    window: Any = None,
    frame_length: Any = None,
    *,
    onesided: bool = True,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SVMClassifier(  # noqa: N802
    x: Any,
    *,
    classlabels_ints: list[int] | tuple[int, ...] = (),
    classlabels_strings: list[str] | tuple[str, ...] = (),
    coefficients: list[float] | tuple[float, ...] = (),
    kernel_params: list[float] | tuple[float, ...] = (),
    kernel_type: str = 'LINEAR',
    post_transform: str = 'NONE',
    prob_a: list[float] | tuple[float, ...] = (),
    prob_b: list[float] | tuple[float, ...] = (),
    rho: list[float] | tuple[float, ...] = (),
    support_vectors: list[float] | tuple[float, ...] = (),
    vectors_per_class: list[int] | tuple[int, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Any: ...
def SVMRegressor(  # noqa: N802
    x: Any,
    *,
    coefficients: list[float] | tuple[float, ...] = (),
    kernel_params: list[float] | tuple[float, ...] = (),
    kernel_type: str = 'LINEAR',
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = 'NONE',
    rho: list[float] | tuple[float, ...] = (),
    support_vectors: list[float] | tuple[float, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Scaler(  # noqa: N802
    x: Any,
    *,
    offset: list[float] | tuple[float, ...] = (),
    scale: list[float] | tuple[float, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Scan(  # noqa: N802
    *initial_state_and_scan_inputs: Any,
    body: Graph,
    num_scan_inputs: int,
    scan_input_axes: list[int] | tuple[int, ...] = (),
    scan_input_directions: list[int] | tuple[int, ...] = (),
    scan_output_axes: list[int] | tuple[int, ...] = (),
    scan_output_directions: list[int] | tuple[int, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Scatter(  # noqa: N802
    data: Any,
    indices: Any,
    updates: Any,
    *,
    axis: int = 0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ScatterElements(  # noqa: N802
    data: Any,
    indices: Any,
    updates: Any,
    *,
    axis: int = 0,
    reduction: str = 'none',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ScatterND(  # noqa: N802
    data: Any,
    indices: Any,
    updates: Any,
    *,
    reduction: str = 'none',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Selu(  # noqa: N802
    x: Any,
    *,
    alpha: float = 1.6732631921768188,
    gamma: float = 1.0507010221481323,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SequenceAt(  # noqa: N802
    input_sequence: Any,
    position: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SequenceConstruct(  # noqa: N802
    *inputs: Any,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SequenceEmpty(  # noqa: N802
    *,
    dtype: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SequenceErase(  # noqa: N802
    input_sequence: Any,
    position: Any = None,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SequenceInsert(  # noqa: N802
    input_sequence: Any,
    tensor: Any,
    position: Any = None,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SequenceLength(  # noqa: N802
    input_sequence: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SequenceMap(  # noqa: N802
    input_sequence: Any,
    *additional_inputs: Any,
    body: Graph,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Shape(  # noqa: N802
    data: Any,
    *,
    start: int = 0,
    end: int | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Shrink(  # noqa: N802
    input: Any,
    *,
    bias: float = 0.0,
    lambd: float = 0.5,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Sigmoid(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Sign(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Sin(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Sinh(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Size(  # noqa: N802
    data: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Slice(  # noqa: N802
    data: Any,
    starts: Any,
    ends: Any,
    axes: Any = None,
    steps: Any = None,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Softmax(  # noqa: N802
    input: Any,
    *,
    axis: int = -1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SoftmaxCrossEntropyLoss(  # noqa: N802
    scores: Any,
    labels: Any,
    weights: Any = None,
    *,
    ignore_index: int | None = None,
    reduction: str = 'mean',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Softplus(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Softsign(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SpaceToDepth(  # noqa: N802
    input: Any,
    *,
    blocksize: int,
    mode: str = 'DCR',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Split(  # noqa: N802
    input: Any,
    split: Any = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def SplitToSequence(  # noqa: N802
    input: Any,
    split: Any = None,
    *,
    axis: int = 0,
    keepdims: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Sqrt(  # noqa: N802
    x: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Squeeze(  # noqa: N802
    data: Any,
    axes: Any = None,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def StringConcat(  # noqa: N802
    x: Any,
    y: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def StringNormalizer(  # noqa: N802
    x: Any,
    *,
    case_change_action: str = 'NONE',
    is_case_sensitive: int = 0,
    locale: str = '',
    stopwords: list[str] | tuple[str, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def StringSplit(  # noqa: N802
    x: Any,
    *,
    delimiter: str = '',
    maxsplit: int | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Sub(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Sum(  # noqa: N802
    *data_0: Any,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def SwiGLU(  # noqa: N802
    a: Any,
    b: Any,
    *,
    alpha: float = 1.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Swish(  # noqa: N802
    x: Any,
    *,
    alpha: float = 1.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Tan(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Tanh(  # noqa: N802
    input: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def TensorScatter(  # noqa: N802
    past_cache: Any,
    update: Any,
    write_indices: Any = None,
    *,
    axis: int = -2,
    mode: str = 'linear',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def TfIdfVectorizer(  # noqa: N802
    x: Any,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: list[int] | tuple[int, ...],
    ngram_indexes: list[int] | tuple[int, ...],
    pool_int64s: list[int] | tuple[int, ...] = (),
    pool_strings: list[str] | tuple[str, ...] = (),
    weights: list[float] | tuple[float, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ThresholdedRelu(  # noqa: N802
    x: Any,
    *,
    alpha: float = 1.0,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Tile(  # noqa: N802
    input: Any,
    repeats: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Tokenizer(  # noqa: N802
    x: Any,
    *,
    mark: int,
    mincharnum: int,
    pad_value: str,
    separators: list[str] | tuple[str, ...] = (),
    tokenexp: str = '',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "com.microsoft",
) -> Value: ...
def TopK(  # noqa: N802
    x: Any,
    k: Any,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Any: ...
def Transpose(  # noqa: N802
    data: Any,
    *,
    perm: list[int] | tuple[int, ...] | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def TreeEnsemble(  # noqa: N802
    x: Any,
    *,
    aggregate_function: int = 1,
    leaf_targetids: list[int] | tuple[int, ...],
    leaf_weights: Any,
    membership_values: Any | None = None,
    n_targets: int | None = None,
    nodes_falseleafs: list[int] | tuple[int, ...],
    nodes_falsenodeids: list[int] | tuple[int, ...],
    nodes_featureids: list[int] | tuple[int, ...],
    nodes_hitrates: Any | None = None,
    nodes_missing_value_tracks_true: list[int] | tuple[int, ...] = (),
    nodes_modes: Any,
    nodes_splits: Any,
    nodes_trueleafs: list[int] | tuple[int, ...],
    nodes_truenodeids: list[int] | tuple[int, ...],
    post_transform: int = 0,
    tree_roots: list[int] | tuple[int, ...],
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def TreeEnsembleClassifier(  # noqa: N802
    x: Any,
    *,
    base_values: list[float] | tuple[float, ...] = (),
    base_values_as_tensor: Any | None = None,
    class_ids: list[int] | tuple[int, ...] = (),
    class_nodeids: list[int] | tuple[int, ...] = (),
    class_treeids: list[int] | tuple[int, ...] = (),
    class_weights: list[float] | tuple[float, ...] = (),
    class_weights_as_tensor: Any | None = None,
    classlabels_int64s: list[int] | tuple[int, ...] = (),
    classlabels_strings: list[str] | tuple[str, ...] = (),
    nodes_falsenodeids: list[int] | tuple[int, ...] = (),
    nodes_featureids: list[int] | tuple[int, ...] = (),
    nodes_hitrates: list[float] | tuple[float, ...] = (),
    nodes_hitrates_as_tensor: Any | None = None,
    nodes_missing_value_tracks_true: list[int] | tuple[int, ...] = (),
    nodes_modes: list[str] | tuple[str, ...] = (),
    nodes_nodeids: list[int] | tuple[int, ...] = (),
    nodes_treeids: list[int] | tuple[int, ...] = (),
    nodes_truenodeids: list[int] | tuple[int, ...] = (),
    nodes_values: list[float] | tuple[float, ...] = (),
    nodes_values_as_tensor: Any | None = None,
    post_transform: str = 'NONE',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Any: ...
def TreeEnsembleRegressor(  # noqa: N802
    x: Any,
    *,
    aggregate_function: str = 'SUM',
    base_values: list[float] | tuple[float, ...] = (),
    base_values_as_tensor: Any | None = None,
    n_targets: int | None = None,
    nodes_falsenodeids: list[int] | tuple[int, ...] = (),
    nodes_featureids: list[int] | tuple[int, ...] = (),
    nodes_hitrates: list[float] | tuple[float, ...] = (),
    nodes_hitrates_as_tensor: Any | None = None,
    nodes_missing_value_tracks_true: list[int] | tuple[int, ...] = (),
    nodes_modes: list[str] | tuple[str, ...] = (),
    nodes_nodeids: list[int] | tuple[int, ...] = (),
    nodes_treeids: list[int] | tuple[int, ...] = (),
    nodes_truenodeids: list[int] | tuple[int, ...] = (),
    nodes_values: list[float] | tuple[float, ...] = (),
    nodes_values_as_tensor: Any | None = None,
    post_transform: str = 'NONE',
    target_ids: list[int] | tuple[int, ...] = (),
    target_nodeids: list[int] | tuple[int, ...] = (),
    target_treeids: list[int] | tuple[int, ...] = (),
    target_weights: list[float] | tuple[float, ...] = (),
    target_weights_as_tensor: Any | None = None,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...
def Trilu(  # noqa: N802
    input: Any,
    k: Any = 0,
    *,
    upper: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Unique(  # noqa: N802
    x: Any,
    *,
    axis: int | None = None,
    sorted: int = 1,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Unsqueeze(  # noqa: N802
    data: Any,
    axes: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Upsample(  # noqa: N802
    x: Any,
    scales: Any,
    *,
    mode: str = 'nearest',
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Where(  # noqa: N802
    condition: Any,
    x: Any,
    y: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def Xor(  # noqa: N802
    a: Any,
    b: Any,
    *,
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
) -> Value: ...
def ZipMap(  # noqa: N802
    x: Any,
    *,
    classlabels_int64s: list[int] | tuple[int, ...] = (),
    classlabels_strings: list[str] | tuple[str, ...] = (),
    outputs: int | None = None,
    name: str = ...,
    version: int = ...,
    domain: str = "ai.onnx.ml",
) -> Value: ...