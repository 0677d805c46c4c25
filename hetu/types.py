"""ONNX element types and value types, and how numpy and torch hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import ml_dtypes
import numpy as np
import torch

from hetu.errors import UsageError, show

TorchType = torch.dtype


@dataclass(frozen=True, slots=True)
class DType:
    """One ONNX element type.

    `code` is its number in `TensorProto.DataType`. `torch` is the dtype that stores it, one element
    per item; `compute` is the dtype kernels get, another one where torch cannot compute in it.
    Strings have neither: they are numpy object arrays.
    """

    name: str
    code: int
    numpy: np.dtype
    torch: TorchType | None
    compute: TorchType | None

    @property
    def is_float(self) -> bool:
        """Whether values of this type can carry a gradient."""
        return self.compute is not None and self.compute.is_floating_point

    @property
    def is_widened(self) -> bool:
        """Whether kernels get these values in another form than the one they are stored in."""
        return self.torch is None or self.torch is not self.compute

    @property
    def bits(self) -> int:
        """Bits one element takes in a file."""
        return _PACKED_BITS.get(self.name, self.numpy.itemsize * 8)

    def __str__(self) -> str:
        return self.name


_PACKED_BITS = {
    "uint4": 4, "int4": 4, "float4_e2m1fn": 4, "uint2": 2, "int2": 2,
    "float6_e2m3fn": 6, "float6_e3m2fn": 6,
}  # fmt: skip


def _dtype(
    code: int, numpy: object, stored: TorchType | str, compute: TorchType | None = None
) -> DType:
    dtype = np.dtype(numpy)  # pyright: ignore[reportArgumentType, reportCallIssue]
    storage: TorchType = getattr(torch, stored) if isinstance(stored, str) else stored
    return DType(dtype.name, code, dtype, storage, compute or storage)


# torch has no one-byte-per-element storage for 4- and 6-bit floats: dtypes of the same item size
# that torch itself gives no arithmetic stand in as tags.
DTYPES: tuple[DType, ...] = (
    _dtype(1, np.float32, torch.float32),
    _dtype(2, np.uint8, torch.uint8),
    _dtype(3, np.int8, torch.int8),
    _dtype(4, np.uint16, torch.uint16, torch.int32),
    _dtype(5, np.int16, torch.int16),
    _dtype(6, np.int32, torch.int32),
    _dtype(7, np.int64, torch.int64),
    DType("string", 8, np.dtype(object), None, None),
    _dtype(9, np.bool_, torch.bool),
    _dtype(10, np.float16, torch.float16),
    _dtype(11, np.float64, torch.float64),
    _dtype(12, np.uint32, torch.uint32, torch.int64),
    _dtype(13, np.uint64, torch.uint64, torch.int64),
    _dtype(14, np.complex64, torch.complex64),
    _dtype(15, np.complex128, torch.complex128),
    _dtype(16, ml_dtypes.bfloat16, torch.bfloat16),
    _dtype(17, ml_dtypes.float8_e4m3fn, torch.float8_e4m3fn, torch.float32),
    _dtype(18, ml_dtypes.float8_e4m3fnuz, torch.float8_e4m3fnuz, torch.float32),
    _dtype(19, ml_dtypes.float8_e5m2, torch.float8_e5m2, torch.float32),
    _dtype(20, ml_dtypes.float8_e5m2fnuz, torch.float8_e5m2fnuz, torch.float32),
    _dtype(21, ml_dtypes.uint4, "uint4", torch.int32),
    _dtype(22, ml_dtypes.int4, "int4", torch.int32),
    _dtype(23, ml_dtypes.float4_e2m1fn, torch.float4_e2m1fn_x2, torch.float32),
    _dtype(24, ml_dtypes.float8_e8m0fnu, torch.float8_e8m0fnu, torch.float32),
    _dtype(25, ml_dtypes.uint2, "uint2", torch.int32),
    _dtype(26, ml_dtypes.int2, "int2", torch.int32),
    _dtype(27, ml_dtypes.float6_e2m3fn, "uint6", torch.float32),
    _dtype(28, ml_dtypes.float6_e3m2fn, "int6", torch.float32),
)

_BY_CODE: Mapping[int, DType] = {d.code: d for d in DTYPES}
_BY_NAME: Mapping[str, DType] = {d.name: d for d in DTYPES}
_BY_NUMPY: Mapping[np.dtype, DType] = {d.numpy: d for d in DTYPES if d.torch}
_BY_TORCH: Mapping[torch.dtype, DType] = {d.torch: d for d in DTYPES if d.torch}

FLOAT32, FLOAT64, INT32, INT64, BOOL, STRING = (
    _BY_NAME[n] for n in ("float32", "float64", "int32", "int64", "bool", "string")
)


def dtype(spec: "DType | int | str | torch.dtype | np.dtype | type") -> DType:
    """The `DType` that a TensorProto code, a name, or a numpy, torch or Python type means.

    Raises `UsageError` where no ONNX element type corresponds.
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, torch.dtype):
        found = _BY_TORCH.get(spec)
    else:
        found = (_BY_NUMPY.get(spec) if isinstance(spec, np.dtype) else None) or _find(spec)
    if found is None:
        raise UsageError(f"{show(spec)} is no ONNX element type; known: {', '.join(_BY_NAME)}")
    return found


def _find(spec: "int | str | np.dtype | type") -> DType | None:
    if isinstance(spec, int):
        return _BY_CODE.get(spec)
    if isinstance(spec, str) and spec in _BY_NAME:
        return _BY_NAME[spec]
    try:
        array_type = np.dtype(spec)
    except TypeError:
        return None
    return STRING if array_type.kind in "OSUT" else _BY_NAME.get(array_type.name)


def short_domain(name: str) -> str:
    """The domain of an operator as graphs look it up: ai.onnx, which has two names, is "" there."""
    return "" if name == "ai.onnx" else name


Dim = int | str | None
"""A dimension: its size, the name of a symbolic one, or None where nothing is known."""


@dataclass(frozen=True, slots=True)
class TensorType:
    """A (dense or sparse) tensor; `shape` is None where not even the rank is known."""

    dtype: DType | None = None
    shape: tuple[Dim, ...] | None = None
    sparse: bool = False
    denotation: str = ""
    dim_denotations: tuple[str, ...] = ()

    def __str__(self) -> str:
        dims = (
            "..."
            if self.shape is None
            else ", ".join("?" if d is None else str(d) for d in self.shape)
        )
        return f"{self.dtype or '?'}[{dims}]"


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A sequence of values of one type."""

    element: "ValueType | None" = None
    denotation: str = ""


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A value that may be absent."""

    element: "ValueType | None" = None
    denotation: str = ""


@dataclass(frozen=True, slots=True)
class MapType:
    """A map from integers or strings to values."""

    key: DType
    value: "ValueType | None" = None
    denotation: str = ""


@dataclass(frozen=True, slots=True)
class OpaqueType:
    """A type that only its domain knows."""

    domain: str = ""
    name: str = ""
    denotation: str = ""


ValueType = TensorType | SequenceType | OptionalType | MapType | OpaqueType

AttributeKind = Literal[
    "float", "int", "string", "tensor", "graph", "sparse_tensor", "type",
    "floats", "ints", "strings", "tensors", "graphs", "sparse_tensors", "types",
]  # fmt: skip
"""The kinds of attributes, ONNX's names in lower case."""
