"""oneDNN's own library, where it is installed: its primitives, called without torch in between.

All operations are on float32 tensors on the CPU. Primitives, and the orders of packed weights, are
made once for each combination of shapes and number of threads.
"""

from hetu.onednn.attention import attention
from hetu.onednn.attention_gradient import attention_gradient
from hetu.onednn.binding import LIBRARY
from hetu.onednn.blocks import BLOCK, from_blocks, plus_activation, to_blocks
from hetu.onednn.common import ACTIVATIONS, LAYOUTS, channels_last
from hetu.onednn.convolutions import Geometry, convolution, pack_convolution
from hetu.onednn.depthwise import (
    DepthwisePair,
    pack_depthwise,
    pointwise_depthwise,
    suits_depthwise,
)
from hetu.onednn.images import scale_channels
from hetu.onednn.layer_norms import layer_norm, rms_norm
from hetu.onednn.normalization import batch_norm, batch_norm_gradient
from hetu.onednn.packing import (
    Packed,
    holds,
    packed_together,
    table_rows,
    unpacked,
    use,
    when_packed,
)
from hetu.onednn.pools import average_gradient, pool
from hetu.onednn.products import linear, pack_linear, pack_row
from hetu.onednn.recording import is_recording, unrecorded
from hetu.onednn.recurrent import RECURRENCES, pack_recurrent, recurrent
from hetu.onednn.replay import Replay
from hetu.onednn.watching import record_attention
from hetu.onednn.winograd import (
    pack_winograd,
    suits_winograd,
    trained_winograd,
    winograd_convolution,
    winograd_gradient_w,
    winograd_gradient_x,
)

__all__ = [
    "ACTIVATIONS", "BLOCK", "LAYOUTS", "RECURRENCES", "DepthwisePair", "Geometry", "Packed",
    "Replay", "attention", "attention_gradient", "average_gradient", "batch_norm",
    "batch_norm_gradient", "channels_last", "convolution", "from_blocks", "holds", "is_available",
    "is_recording", "layer_norm", "linear", "pack_convolution", "pack_depthwise", "pack_linear",
    "pack_recurrent", "pack_row", "pack_winograd", "packed_together", "plus_activation",
    "pointwise_depthwise", "pool", "record_attention", "recurrent", "rms_norm", "scale_channels",
    "suits_depthwise", "suits_winograd", "table_rows", "to_blocks", "trained_winograd", "unpacked",
    "unrecorded", "use", "when_packed", "winograd_convolution", "winograd_gradient_w",
    "winograd_gradient_x",
]  # fmt: skip


def is_available() -> bool:
    """Whether the library is there."""
    return LIBRARY is not None
