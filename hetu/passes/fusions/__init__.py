"""The fusions, one file each, in the stages that they are tried in.

Every stage walks once through the graph: those of the first bring groups of nodes into the form of
single ONNX operators, those of the second join these with their neighbours.
"""

from hetu.passes.fusion import Fusion
from hetu.passes.fusions.activation import gelu, silu
from hetu.passes.fusions.batch_norm import batch_norm
from hetu.passes.fusions.convolution import convolution, convolution_activation, convolution_plus
from hetu.passes.fusions.linear import linear, linear_activation, linear_bias, linear_plus

STAGES: tuple[tuple[Fusion, ...], ...] = (
    (gelu, silu, batch_norm),
    (
        linear, linear_bias, linear_activation, linear_plus,
        convolution, convolution_activation, convolution_plus,
    ),
)  # fmt: skip
