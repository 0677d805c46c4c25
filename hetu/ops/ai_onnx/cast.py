"""Conversion between element types, by value and by bits."""

import numpy as np
import torch

from hetu.convert import narrow, to_torch, widen
from hetu.errors import ModelError, UsageError, show
from hetu.ops.casting import convert
from hetu.ops.kinds import Any, DType
from hetu.ops.registry import op
from hetu.types import STRING
from hetu.types import dtype as dtype_of

_OLD_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
"""Names that Cast-1 has for types where they are not simply in capitals."""


@op("Cast", since=6)
def cast(input: Any, *, to: DType, saturate: bool = True, round_mode: str = "up") -> Any:
    if isinstance(input, np.ndarray):
        return input if to is STRING else _parse(input, to, saturate, round_mode)
    if to is STRING:
        return _format(input)
    return convert(input, to, saturate=saturate, round_mode=round_mode)


@op("Cast")
def cast_1(input: Any, *, to: str) -> Any:
    name = to.upper()
    return cast(input, to=dtype_of(_OLD_NAMES.get(name, name.lower())))


@op("CastLike", since=15, fixed=("target_type",))
def cast_like(
    input: Any, target_type: Any, *, saturate: bool = True, round_mode: str = "up"
) -> Any:
    return cast(input, to=dtype_of(target_type.dtype), saturate=saturate, round_mode=round_mode)


@op("BitCast", since=26)
def bit_cast(input: Any, *, to: DType) -> Any:
    source = dtype_of(input.dtype)
    if STRING in (source, to) or source.bits != to.bits:
        raise UsageError(f"BitCast needs types of the same width, not {source} and {to}")
    if to.bits < 8:
        code = input.view(torch.uint8) & ((1 << to.bits) - 1)
        return code.view(to.torch) if to.is_float else narrow(code.int(), to)
    return input.view(to.torch)


def _parse(texts: np.ndarray, to: DType, saturate: bool, round_mode: str) -> torch.Tensor:
    number = _integer if "int" in to.name else float
    try:
        numbers = [number(text) for text in texts.reshape(-1).tolist()]
    except (ValueError, OverflowError) as error:
        raise ModelError(f"Cast: a string is no {to}: {show(str(error))}") from error
    element = np.float64 if number is float else np.uint64
    parsed = to_torch(np.array(numbers, element).reshape(texts.shape))
    assert isinstance(parsed, torch.Tensor)
    return convert(parsed, to, saturate=saturate, round_mode=round_mode)


def _integer(text: str) -> int:
    """The integer modulo 2**64, which holds every integer type; decimals are cut off."""
    try:
        return int(text) % 2**64
    except ValueError:
        return int(float(text)) % 2**64


def _format(value: torch.Tensor) -> np.ndarray:
    """Numbers as ONNX Runtime writes them, so that an exported model gives the same strings."""
    element = dtype_of(value.dtype)
    if element.bits < 8:
        value = widen(value)
    if value.dtype is torch.bool:
        value = value.int()
    text = _plain if element.is_float else str
    texts = [text(number) for number in value.reshape(-1).tolist()]
    return np.array(texts, object).reshape(value.shape)


def _plain(number: float) -> str:
    if number != number:
        return "NaN"
    return f"{number:.8g}".replace("inf", "INF")
