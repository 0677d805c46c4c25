"""Maps to tensors and tensors to maps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hetu.errors import ModelError, UsageError, show
from hetu.ops.kinds import Context, Ints, Strs, Tensor
from hetu.ops.registry import op

CASTS: dict[str, tuple[Any, Any]] = {
    "TO_FLOAT": (np.float32, 0), "TO_INT64": (np.int64, 0), "TO_STRING": (object, "0.f"),
}  # fmt: skip
"""What is cast to, and what stands where a sparse map has no key: ONNX Runtime's choice."""


@op("ZipMap", domain="ai.onnx.ml")
def zip_map(x: Tensor, *, classlabels_int64s: Ints = (), classlabels_strings: Strs = ()) -> Any:
    keys = classlabels_strings or classlabels_int64s
    samples = x.reshape(1, -1) if x.ndim < 2 else x
    if samples.shape[1] != len(keys):
        raise ModelError(f"ZipMap: {len(keys)} labels for {samples.shape[1]} columns")
    return tuple(dict(zip(keys, sample, strict=True)) for sample in samples.tolist())


@op("DictVectorizer", domain="ai.onnx.ml")
def dict_vectorizer(
    x: Any, *, int64_vocabulary: Ints = (), string_vocabulary: Strs = (), ctx: Context
) -> Any:
    """A row, as in ONNX Runtime: a map is one sample."""
    keys = string_vocabulary or int64_vocabulary
    unknown = x.keys() - set(keys)
    if unknown:
        raise UsageError(f"DictVectorizer: {show(min(unknown))} is not in the vocabulary")
    element = _element(x)
    absent = "" if element is object else 0
    return _row([x.get(key, absent) for key in keys], element, ctx.device)


@op("CastMap", domain="ai.onnx.ml")
def cast_map(
    x: Any,
    *,
    cast_to: str = "TO_FLOAT",
    map_form: str = "DENSE",
    max_map: int = 1,
    ctx: Context,
) -> Any:
    """A row, as in ONNX Runtime: a map is one sample."""
    if cast_to not in CASTS or map_form not in ("DENSE", "SPARSE"):
        raise ModelError(f"CastMap: {show(cast_to)}, {show(map_form)} are not among ONNX's choices")
    element, absent = CASTS[cast_to]
    keys = sorted(x) if map_form == "DENSE" else range(max_map)
    if not x.keys() <= set(keys):
        raise UsageError(f"CastMap: key {max(x)} is not below max_map, which is {max_map}")
    return _row([_cast(x[k], element) if k in x else absent for k in keys], element, ctx.device)


def _cast(value: Any, element: Any) -> Any:
    if element is object:
        # six digits, as C++ writes a float
        return value if isinstance(value, str) else f"{value:f}"
    return float(value) if element is np.float32 else int(value)


def _element(values: Mapping[Any, Any]) -> Any:
    """The numpy type of a map's values; Python's floats are float32."""
    first = next(iter(values.values()), 0.0)
    if isinstance(first, str):
        return object
    return np.float32 if type(first) is float else np.asarray(first).dtype


def _row(values: Sequence[Any], element: Any, device: torch.device) -> Any:
    row = np.array([values], dtype=element)
    return row if element is object else torch.from_numpy(row).to(device)
