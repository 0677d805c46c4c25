"""The fusions, one file each, in the stages that they are tried in.

Every stage walks once through the graph: those of the first bring groups of nodes into the form of
single ONNX operators, those of the second join these with their neighbours.
"""

from hetu.passes.fusion import Fusion
from hetu.passes.fusions.activation import (
    clip,
    gelu,
    hard_swish,
    mish,
    silu,
    softplus,
    trained_clip,
)
from hetu.passes.fusions.affine import channel_affine
from hetu.passes.fusions.attention import attention
from hetu.passes.fusions.batch_norm import (
    batch_norm,
    batch_norm_activation,
    batch_norm_of_rows,
    lone_batch_norm,
    trained_batch_norm,
    trained_batch_norm_activation,
)
from hetu.passes.fusions.convolution import (
    convolution,
    convolution_activation,
    convolution_plus,
    single_pixel,
    trained_convolution,
    transposed_convolution,
)
from hetu.passes.fusions.embeddings import embeddings, trained_embeddings
from hetu.passes.fusions.group_norm import group_norm, group_norm_affine
from hetu.passes.fusions.image_rows import image_rows
from hetu.passes.fusions.linear import (
    flattened,
    linear,
    linear_activation,
    linear_bias,
    linear_plus,
    trained_linear,
)
from hetu.passes.fusions.norms import (
    layer_norm,
    norm_bias,
    norm_scale,
    rms_norm,
    shifted_layer_norm,
)
from hetu.passes.fusions.pad import pad
from hetu.passes.fusions.pool import global_average, pool, trained_average
from hetu.passes.fusions.recurrent import recurrent
from hetu.passes.fusions.reorder import reordered
from hetu.passes.fusions.row_norms import row_layer_norm, row_rms_norm
from hetu.passes.fusions.select import select
from hetu.passes.fusions.shuffle import channel_shuffle
from hetu.passes.fusions.simplify import batched_transpose, nothing, reshapes, transposes
from hetu.passes.fusions.sink import sink

STAGES: tuple[tuple[Fusion, ...], ...] = (
    (
        nothing, batched_transpose, reshapes, transposes,
        gelu, silu, hard_swish, softplus, mish, clip, layer_norm, rms_norm, norm_scale, norm_bias,
        batch_norm, batch_norm_of_rows, group_norm, group_norm_affine,
        sink, channel_affine, shifted_layer_norm, attention, flattened, embeddings,
        trained_embeddings, reordered, channel_shuffle, pad,
    ),
    (
        image_rows, linear, linear_bias, linear_activation, linear_plus, trained_linear,
        single_pixel, convolution, trained_convolution, transposed_convolution,
        convolution_activation, convolution_plus, lone_batch_norm, batch_norm_activation, pool,
        trained_average, global_average, recurrent, trained_clip, select,
        trained_batch_norm, trained_batch_norm_activation, row_layer_norm, row_rms_norm,
    ),
)  # fmt: skip
