"""Conversion between numeric element types, by the rules of ONNX's Cast."""

import torch

from hetu.convert import narrow, widen
from hetu.errors import ModelError, show
from hetu.types import DType, dtype

_FLOAT8 = {
    "float8_e4m3fn": (448.0, 32.0),
    "float8_e4m3fnuz": (240.0, 16.0),
    "float8_e5m2": (57344.0, 8192.0),
    "float8_e5m2fnuz": (57344.0, 8192.0),
}
"""The largest finite number of each type, and the distance from it to the one below."""

_E8M0_BIAS = 127


def convert(
    value: torch.Tensor, to: DType, *, saturate: bool = True, round_mode: str = "up"
) -> torch.Tensor:
    """A tensor of any numeric type as another one; both in the form that they are stored in.

    Integers wrap. `saturate` and `round_mode` are Cast's attributes. Gradients flow between float
    types of at least 8 bits, except to and from E8M0.
    """
    source = dtype(value.dtype)
    if source is to:
        return value
    if source.bits < 8:
        value = widen(value)
    if value.is_complex() and not _is_complex(to):
        value = value.real
    if to.name in _FLOAT8:
        return _to_float8(value.float(), to, saturate)
    if to.name == "float8_e8m0fnu":
        return _to_e8m0(value.detach().double(), saturate, round_mode)
    if to.bits < 8:
        if value.is_floating_point() and not to.is_float:
            value = _rounded(value.double())
        return narrow(value.to(to.compute), to)
    return value.to(to.torch)


def _is_complex(element: DType) -> bool:
    return element.torch is not None and element.torch.is_complex


def _rounded(value: torch.Tensor) -> torch.Tensor:
    """The nearest integers, halves away from zero: so ONNX Runtime makes integers below 8 bits."""
    return value.trunc() + torch.where(value.frac().abs() >= 0.5, value.sign(), 0)


def _to_float8(value: torch.Tensor, to: DType, saturate: bool) -> torch.Tensor:
    """Round to nearest even; what rounds to more than the largest becomes that, inf or NaN."""
    largest, spacing = _FLOAT8[to.name]
    if saturate:
        return value.clamp(-largest, largest).to(to.torch)
    is_over = (value / spacing).round().abs() * spacing > largest
    outside = value.new_full((), torch.inf if to.name == "float8_e5m2" else torch.nan)
    return torch.where(is_over, outside.copysign(value), value).to(to.torch)


def _to_e8m0(value: torch.Tensor, saturate: bool, round_mode: str) -> torch.Tensor:
    """Powers of two from 2**-127 to 2**127; the code is the exponent, 255 is NaN.

    ONNX leaves open what negative numbers become: they count as smaller than the smallest power.
    """
    smallest, largest = 2.0**-_E8M0_BIAS, 2.0**_E8M0_BIAS
    inside = value.clamp(smallest, largest)
    is_nan = value.isnan() if saturate else inside != value
    mantissa, exponent = torch.frexp(inside)
    goes_up = _goes_up(mantissa, round_mode)
    code = torch.where(goes_up, exponent, exponent - 1) + _E8M0_BIAS
    return code.masked_fill(is_nan, 255).to(torch.uint8).view(torch.float8_e8m0fnu)


def _goes_up(mantissa: torch.Tensor, round_mode: str) -> torch.Tensor:
    """Whether a number with this mantissa, from 0.5 to below 1, goes to the next power of two."""
    match round_mode:
        case "up":
            return mantissa > 0.5
        case "nearest":
            return mantissa >= 0.75
        case "down":
            return torch.zeros_like(mantissa, dtype=torch.bool)
    raise ModelError(f"round_mode is up, down or nearest, not {show(round_mode)}")
