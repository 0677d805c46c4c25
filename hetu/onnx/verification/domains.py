"""Which values operators accept: one table of rules by operator and input."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from hetu.onnx.verification.site import Between, Distinct, Domain, Exactly, OneOf, Site
from hetu.types import STRING

Rule = Callable[[Site], Domain | None]


# Makers of rules --------------------------------------------------------------------------------


def _between(low: float, high: float, is_real: bool = False) -> Rule:
    return lambda site: Between(low, high, is_real)


def _integers(low: float, high: float) -> Rule:
    """A range for integers; floats are free."""
    return lambda site: Between(low, high) if site.is_integer else None


def _exactly(values: Any) -> Rule:
    return lambda site: Exactly(values)


def _axis(site: Site, axis: int | str) -> int:
    return int(site.attributes.get(axis, 0)) if isinstance(axis, str) else axis


def _position(of: int = 0, axis: int | str = "axis") -> Rule:
    """A position along an axis of another input."""
    return lambda site: Between(0, site.dim(of, _axis(site, axis)) - 1)


def _length(of: int = 0, axis: int | str = "axis", default: int = 0) -> Rule:
    """A length that an axis of another input allows."""

    def rule(site: Site) -> Domain:
        number = site.attributes.get(axis, default) if isinstance(axis, str) else axis
        return Between(1, site.dim(of, int(number)))

    return rule


def _keys(*names: str) -> Rule:
    """What some attributes list."""

    def rule(site: Site) -> Domain | None:
        found = [key for name in names for key in site.attributes.get(name, ())]
        texts = [key.decode() if isinstance(key, bytes) else key for key in found]
        is_text = site.element_of(site.use.index) is STRING
        fitting = tuple(key for key in texts if isinstance(key, str) == is_text)
        return OneOf(fitting) if fitting else None

    return rule


# Rules of single operators ----------------------------------------------------------------------


def _coordinates(site: Site) -> Domain:
    """Columns of GatherND's and ScatterND's indices, each along its own axis."""
    batch_dims, data = site.attributes.get("batch_dims", 0), site.shape_of(0)
    if data is None or not site.shape:
        return Between(0, 0)
    dims = [site.dim(0, batch_dims + i) for i in range(site.shape[-1])]
    return Between(0, np.array(dims) - 1) if site.is_whole else Between(0, min(dims) - 1)


def _distinct_coordinates(site: Site) -> Domain:
    if not site.shape or not site.is_whole:
        return _coordinates(site)
    return Distinct(tuple(site.dim(0, i) for i in range(site.shape[-1])))


def _distinct_positions(site: Site) -> Domain:
    axis = _axis(site, "axis")
    return Distinct((site.dim(0, axis),), axis)


def _free_rows(site: Site) -> Domain:
    """Where an update may be written into a cache."""
    axis = site.attributes.get("axis", -2)
    return Between(0, site.dim(0, axis) - site.dim(1, axis))


def _one_hot_index(site: Site) -> Domain:
    depth = site.constant(1)
    return Between(0, 3 if depth is None else int(depth.reshape(-1)[0]) - 1)


def _reshape(site: Site) -> Domain:
    """The data's own shape, with leading dimensions joined or added."""
    data = site.shape_of(0)
    if not site.is_whole:
        return Between(1, 1)
    if data is None or None in data:
        return Exactly([-1] + [1] * (site.count - 1))
    dims: list[int] = [d for d in data if d is not None]
    surplus = len(dims) - site.count
    if surplus < 0:
        return Exactly([1] * -surplus + dims)
    return Exactly([prod(dims[: surplus + 1]), *dims[surplus + 1 :]])


def _expand(site: Site) -> Domain:
    """The data's own shape, with new dimensions and with ones doubled."""
    data = site.shape_of(0)
    if data is None or None in data or not site.is_whole:
        return Between(1, 1)
    dims = [2 if d == 1 else d for d in data][max(0, len(data) - site.count) :]
    return Exactly([2] * (site.count - len(dims)) + dims)


def _sliced(site: Site) -> int:
    """The smallest of the dimensions that are sliced."""
    axes = site.constant(3)
    chosen = range(site.count) if axes is None else axes.reshape(-1).tolist()
    return min((site.dim(0, int(axis)) for axis in chosen), default=1)


def _slice_start(site: Site) -> Domain:
    return Between(0, _sliced(site) // 2)


def _slice_end(site: Site) -> Domain:
    size = _sliced(site)
    return Between(size // 2 + 1, max(size, 1))


def _first_axes(site: Site) -> Domain:
    return Exactly(list(range(site.count)))


def _unit_axes(site: Site) -> Domain:
    """The axes of size 1."""
    axes = [i for i, dim in enumerate(site.shape_of(0) or ()) if dim == 1]
    return Exactly(axes[: site.count] if len(axes) >= site.count else list(range(site.count)))


def _split(site: Site) -> Domain:
    size = site.dim(0, _axis(site, "axis"), default=site.count)
    if not site.shape:
        return Between(1, max(1, size // 2))
    part = size // site.count
    return Exactly([part] * (site.count - 1) + [size - part * (site.count - 1)])


def _grown(site: Site) -> list[int]:
    """Factors that double the spatial dimensions, those after batch and channels."""
    kept = 2 if site.count > 2 else 0
    return [1] * kept + [2] * (site.count - kept)


def _resize_1(site: Site) -> Domain:
    """Scales in opset 10; since then a region."""
    if site.version < 11:
        return Exactly(_grown(site))
    return Exactly([0] * (site.count // 2) + [1] * (site.count - site.count // 2))


def _resize_sizes(site: Site) -> Domain:
    axes = site.attributes.get("axes", range(site.count))
    factors = _grown(site) if "axes" not in site.attributes else [2] * site.count
    dims = (site.dim(0, axis) for axis in axes)
    return Exactly([dim * factor for dim, factor in zip(dims, factors, strict=False)])


def _sequence_length(site: Site) -> Domain:
    """Of an RNN: up to its number of steps."""
    return Between(1, site.dim(0, 1 if site.attributes.get("layout", 0) else 0))


def _attention_mask(site: Site) -> Domain:
    """Of com.microsoft's attentions: per word, or lengths, or ends and starts, or offsets."""
    batch, steps = site.dim(0, 0), site.dim(0, 1)
    if len(site.shape) != 1:
        return Between(0, 1)
    if site.count == batch:
        return Between(1, steps)
    offsets = [i * steps for i in range(batch + 1)]
    return Exactly([steps] * batch + ([0] * batch if site.count == 2 * batch else offsets * 2))


def _total_length(site: Site) -> int:
    """Words of GroupQueryAttention, the past included."""
    return site.dim(3, 2, default=0) + site.dim(0, 1)


def _rotation(site: Site) -> Domain:
    """Positions, or one offset, in a cache of rotations."""
    size, steps = site.dim(2, 0), site.dim(0, -2)
    return Between(0, size - steps if site.count == 1 else size - 1)


def _bits(site: Site) -> Domain:
    element = site.element_of(0)
    return Between(0, (element.bits if element else 8) - 1)


def _numbers_in_text(site: Site) -> Domain | None:
    is_text = site.element_of(0) is STRING
    return OneOf(("0", "1", "-2", "3", "12")) if is_text else None


def _few_bits(site: Site) -> Domain | None:
    """Seven bits: of more, ONNX Runtime's sums of products overflow on processors without VNNI."""
    limits = {"uint8": (0, 127), "int8": (-64, 63)}
    element = site.element_of(site.use.index)
    return Between(*limits[element.name]) if element and element.name in limits else None


def _scan_8_lengths(site: Site) -> Domain | None:
    return Between(1, site.dim(1, 1)) if site.version < 9 else None


def _block(site: Site) -> list[int]:
    """Col2Im's block, of ones where it is not fixed."""
    block = site.constant(2)
    rank = site.dim(1, 0) if block is None else block.size
    return [1] * rank if block is None else block.reshape(-1).tolist()


def _col2im_image(site: Site) -> Domain:
    """An image with as many blocks, moved along its last axis, as the input has columns."""
    block = _block(site)
    return Exactly([*block[:-1], block[-1] + site.dim(0, 2) - 1])


def _unpooled(site: Site) -> Domain:
    """MaxUnpool's output without further padding."""
    kernel = site.attributes.get("kernel_shape", ())
    strides = site.attributes.get("strides", [1] * len(kernel))
    pads = site.attributes.get("pads", [0] * 2 * len(kernel))
    padding = [a + b for a, b in zip(pads, pads[len(kernel) :], strict=False)]
    steps = zip(range(2, site.count), kernel, strides, padding, strict=False)
    spatial = [(site.dim(0, axis) - 1) * stride + size - pad for axis, size, stride, pad in steps]
    return Exactly([site.dim(0, 0), site.dim(0, 1), *spatial])


def _last_signal_axis(site: Site) -> Domain:
    """Of DFT: before the axis of real and imaginary parts."""
    return Exactly(max(0, len(site.shape_of(0) or ()) - 2))


def _regions(site: Site) -> Domain:
    """MaxRoiPool's rows: which image, then two corners."""
    high = np.array([site.dim(0, 0) - 1, 1, 1, 3, 3])
    return Between(0, high if site.is_whole else 0)


_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean",
    "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip

_WINDOWS = ("BlackmanWindow", "HammingWindow", "HannWindow")

_SCALE = _between(0.01, 0.1, is_real=True)

DOMAINS: Mapping[tuple[str, str], Mapping[int, Rule]] = {
    ("", "AffineGrid"): {1: lambda site: Between(2, 4)},
    ("", "Attention"): {6: _length(1, -2)},
    ("", "BatchNormalization"): {4: _between(0.5, 1.5, is_real=True)},
    ("", "BitShift"): {1: _bits},
    ("", "Cast"): {0: _numbers_in_text},
    ("", "CenterCropPad"): {1: _between(2, 5)},
    ("", "Clip"): {1: _between(0, 1), 2: _between(2, 6)},
    ("", "Col2Im"): {1: _col2im_image, 2: _exactly(1)},
    ("", "ConstantOfShape"): {0: _between(1, 4)},
    ("", "ConvInteger"): {0: _few_bits, 1: _few_bits},
    ("", "CumProd"): {1: _exactly(0)},
    ("", "CumSum"): {1: _exactly(0)},
    ("", "DFT"): {1: _between(4, 8), 2: _last_signal_axis},
    ("", "DequantizeLinear"): {1: _SCALE},
    ("", "Div"): {1: _integers(1, 9)},
    ("", "Dropout"): {1: _between(0.1, 0.5, is_real=True), 2: _exactly(False)},
    ("", "Expand"): {1: _expand},
    ("", "GRU"): {4: _sequence_length},
    ("", "Gather"): {1: _position()},
    ("", "GatherElements"): {1: _position()},
    ("", "GatherND"): {1: _coordinates},
    ("", "LSTM"): {4: _sequence_length},
    ("", "Loop"): {0: _between(1, 4), 1: _exactly(True)},
    ("", "MaxRoiPool"): {1: _regions},
    ("", "MatMulInteger"): {0: _few_bits, 1: _few_bits},
    ("", "MaxUnpool"): {1: lambda site: Exactly(list(range(site.count))), 2: _unpooled},
    ("", "MelWeightMatrix"): {
        0: _exactly(8), 1: _exactly(64), 2: _exactly(8000), 3: _exactly(0), 4: _exactly(4000),
    },
    ("", "Mod"): {1: _integers(1, 9)},
    ("", "NegativeLogLikelihoodLoss"): {1: _position(0, 1)},
    ("", "NonMaxSuppression"): {
        2: _between(1, 5), 3: _between(0.2, 0.8, is_real=True), 4: _between(-1, 0, is_real=True),
    },
    ("", "OneHot"): {0: _one_hot_index, 1: _between(4, 6)},
    ("", "Pad"): {1: _between(0, 1), 3: _first_axes},
    ("", "Pow"): {1: _integers(0, 3)},
    ("", "QLinearConv"): {0: _few_bits, 3: _few_bits},
    ("", "QLinearMatMul"): {0: _few_bits, 3: _few_bits},
    ("", "QuantizeLinear"): {1: _SCALE},
    ("", "RNN"): {4: _sequence_length},
    ("", "Range"): {0: _between(0, 1), 1: _between(4, 8), 2: _between(1, 2)},
    ("", "Reshape"): {1: _reshape},
    ("", "Resize"): {
        1: _resize_1, 2: lambda site: Exactly(_grown(site)), 3: _resize_sizes,
    },
    ("", "ReverseSequence"): {1: _length(0, "time_axis")},
    ("", "RoiAlign"): {2: _position(0, 0)},
    ("", "RotaryEmbedding"): {3: _position(1, 0)},
    ("", "STFT"): {1: _between(1, 3), 3: _length(0, 1)},
    ("", "Scan"): {0: _scan_8_lengths},
    ("", "Scatter"): {1: _distinct_positions},
    ("", "ScatterElements"): {1: _distinct_positions},
    ("", "ScatterND"): {1: _distinct_coordinates},
    ("", "SequenceAt"): {1: _exactly(0)},
    ("", "SequenceErase"): {1: _exactly(0)},
    ("", "SequenceInsert"): {2: _exactly(0)},
    ("", "Slice"): {
        1: _slice_start, 2: _slice_end, 3: _first_axes, 4: _exactly(1),
    },
    ("", "SoftmaxCrossEntropyLoss"): {1: _position(0, 1)},
    ("", "Split"): {1: _split},
    ("", "SplitToSequence"): {1: _split},
    ("", "Squeeze"): {1: _unit_axes},
    ("", "TensorScatter"): {2: _free_rows},
    ("", "Tile"): {1: _between(1, 2)},
    ("", "TopK"): {1: _length(0, "axis", default=-1)},
    ("", "Trilu"): {1: _between(-1, 1)},
    ("", "Unsqueeze"): {1: _first_axes},
    ("", "Upsample"): {1: lambda site: Exactly(_grown(site))},
    **{("", name): {1: _first_axes} for name in _REDUCTIONS},
    **{("", name): {0: _between(4, 8)} for name in _WINDOWS},
    ("ai.onnx.ml", "ArrayFeatureExtractor"): {1: _position(0, -1)},
    ("ai.onnx.ml", "CategoryMapper"): {0: _keys("cats_strings", "cats_int64s")},
    ("ai.onnx.ml", "LabelEncoder"): {0: _keys("keys_strings", "keys_int64s", "keys_floats")},
    ("ai.onnx.ml", "OneHotEncoder"): {0: _keys("cats_strings", "cats_int64s")},
    ("com.microsoft", "Attention"): {3: _attention_mask},
    ("com.microsoft", "CropAndResize"): {2: _position(0, 0), 3: _between(2, 4)},
    ("com.microsoft", "DequantizeLinear"): {1: _SCALE},
    ("com.microsoft", "DynamicQuantizeMatMul"): {1: _few_bits},
    ("com.microsoft", "EmbedLayerNormalization"): {
        0: _position(2, 0), 1: _position(4, 0), 7: _between(0, 1), 8: _position(3, 0),
    },
    ("com.microsoft", "ExpandDims"): {1: _exactly(0)},
    ("com.microsoft", "GatherBlockQuantized"): {1: _position(0, "gather_axis")},
    ("com.microsoft", "GatherND"): {1: _coordinates},
    ("com.microsoft", "GroupQueryAttention"): {
        5: lambda site: Exactly(_total_length(site) - 1),
        6: lambda site: Exactly(_total_length(site)),
        9: _position(7, 0),
    },
    ("com.microsoft", "MatMulIntegerToFloat"): {0: _few_bits, 1: _few_bits},
    ("com.microsoft", "MultiHeadAttention"): {4: _attention_mask},
    ("com.microsoft", "QAttention"): {0: _few_bits, 1: _few_bits, 5: _attention_mask},
    ("com.microsoft", "QEmbedLayerNormalization"): {
        0: _position(2, 0), 1: _position(4, 0), 7: _between(0, 1),
    },
    ("com.microsoft", "QGemm"): {0: _few_bits, 3: _few_bits},
    ("com.microsoft", "QLinearGlobalAveragePool"): {1: _SCALE, 3: _SCALE},
    ("com.microsoft", "QuantizeLinear"): {1: _SCALE},
    ("com.microsoft", "RotaryEmbedding"): {1: _rotation},
    ("com.microsoft", "WordConvEmbedding"): {0: _position(3, 0)},
}  # fmt: skip
"""What an operator's input must be, by domain and operator, then by position."""
