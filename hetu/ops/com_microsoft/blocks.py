"""Weights of a few bits, in blocks along an axis that share a scale and a zero point."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.convert import widen
from hetu.errors import UnsupportedError
from hetu.ops import quantized as q
from hetu.ops.com_microsoft.packing import unpacked
from hetu.ops.kinds import Any, Tensor
from hetu.ops.registry import op

DOMAIN = "com.microsoft"


@op("MatMulNBits", domain=DOMAIN, fixed=("scales", "zero_points"))
def mat_mul_n_bits(
    a: Tensor,
    b: Tensor,
    scales: Tensor,
    zero_points: Tensor | None = None,
    g_idx: Any = None,
    bias: Tensor | None = None,
    *,
    K: int,  # noqa: N803
    N: int,  # noqa: N803
    accuracy_level: int = 0,
    bits: int = 4,
    block_size: int,
    weight_prepacked: int = 0,
) -> Tensor:
    if weight_prepacked:
        raise UnsupportedError("com.microsoft.MatMulNBits with weights packed for one device")
    if not b.numel():  # a product that is left out
        return F.linear(a, a.new_zeros(N, K), bias)
    codes = unpacked(b.reshape(N, -1), bits)[:, :K]
    scales = scales.reshape(N, -1)
    group = torch.arange(K, device=a.device) // block_size if g_idx is None else g_idx[:K].long()
    if zero_points is None:
        offsets = 1 << (bits - 1)
    elif zero_points.is_floating_point():
        offsets = zero_points.reshape(N, -1)[:, group]
    else:
        offsets = unpacked(zero_points.reshape(N, -1), bits)[:, group]
    return F.linear(a, ((codes - offsets) * scales[:, group]).to(a.dtype), bias)


@op("GatherBlockQuantized", domain=DOMAIN, fixed=("data", "scales", "zero_points"))
def gather_block_quantized(
    data: Any,
    indices: Any,
    scales: Tensor,
    zero_points: Any = None,
    *,
    bits: int = 4,
    block_size: int = 128,
    gather_axis: int = 0,
    quantize_axis: int = 1,
) -> Any:
    rank, size = data.ndim, data.shape[gather_axis]
    gather_axis, quantize_axis = gather_axis % rank, quantize_axis % rank
    is_inside = (indices >= -size) & (indices < size)
    rows = torch.where(is_inside, indices % size, 0).flatten()
    codes = _numbers(_take(data, gather_axis, rows), bits)
    blocks = block_size or data.shape[quantize_axis]

    def spread(x: Tensor) -> Tensor:
        """A number per block as one per element of what is gathered."""
        if gather_axis == quantize_axis:
            return _numbers(_take(x, gather_axis, rows // blocks), bits)
        numbers = _numbers(_take(x, gather_axis, rows), bits)
        places = torch.arange(codes.shape[quantize_axis], device=x.device) // blocks
        return numbers.index_select(quantize_axis, places)

    if zero_points is not None:
        codes = codes - spread(zero_points)
    elif data.dtype is torch.uint8:
        codes = codes - (1 << (bits - 1))
    y = (codes * spread(scales).to(q.wide(scales))).to(scales.dtype)
    y = y.unflatten(gather_axis, indices.shape) if indices.ndim else y.squeeze(gather_axis)
    return torch.where(is_inside.reshape(*indices.shape, *(1,) * (rank - gather_axis - 1)), y, 0)


def _take(x: Tensor, axis: int, rows: Tensor) -> Tensor:
    """The rows of `x`, which has one for all of them if it has only one.

    Torch holds types of less than 8 bits but cannot gather them.
    """
    rows = rows if x.shape[axis] > 1 else torch.zeros_like(rows)
    if x.element_size() > 1:
        return x.index_select(axis, rows)
    return x.view(torch.uint8).index_select(axis, rows).view(x.dtype)


def _numbers(x: Tensor, bits: int) -> Tensor:
    """Codes as numbers that can be computed with: bytes hold several of them."""
    return unpacked(x, bits) if x.dtype is torch.uint8 else q.number(widen(x))


_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
"""Quantiles of the normal distribution: Dettmers et al. 2023, appendix E."""

_FP4 = (0.0, 0.0625 / 12, 8 / 12, 1.0, 4 / 12, 6 / 12, 2 / 12, 3 / 12)
"""bitsandbytes' floats of a sign, two bits of exponent and one of fraction, in parts of 12."""


@op("MatMulBnb4", domain=DOMAIN, fixed=("absmax",))
def mat_mul_bnb4(
    a: Tensor,
    b: Tensor,
    absmax: Tensor,
    *,
    K: int,  # noqa: N803
    N: int,  # noqa: N803
    block_size: int,
    quant_type: int,
    training_mode: int = 0,
    transB: bool = True,  # noqa: N803
) -> Tensor:
    codes = unpacked(b.flatten(), 4).unflatten(0, (-1, 2)).flip(-1).flatten()[: N * K]
    table = _NF4 if quant_type == 1 else (*_FP4, *(-value for value in _FP4))
    parts = torch.tensor(table, dtype=a.dtype, device=a.device)[codes]
    weight = (parts * absmax.repeat_interleave(block_size)[: N * K]).reshape(N, K)
    return F.linear(a, weight if transB else weight.t())
