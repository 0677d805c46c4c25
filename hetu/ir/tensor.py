"""Constant data inside a graph."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hetu.types import DType, TensorType, dtype


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A constant: its array, and what a file says of it beside the data.

    `packed` tells whether a file holds the data as raw bytes, `external` whether they lie in a file
    beside the model; both are kept so that the tensor is written the way it came. The array is
    shared, never written to.
    """

    array: np.ndarray
    name: str = ""
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    packed: bool = True
    external: bool = False

    @property
    def dtype(self) -> DType:
        """The element type."""
        return dtype(self.array.dtype)

    @property
    def type(self) -> TensorType:
        """The full type."""
        return TensorType(self.dtype, self.array.shape)


@dataclass(frozen=True, slots=True, eq=False)
class SparseTensor:
    """A constant in ONNX's COO form: `values` (n,), `indices` (n,) linear or (n, rank), `shape`."""

    values: Tensor
    indices: Tensor
    shape: tuple[int, ...]

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.values.dtype

    @property
    def name(self) -> str:
        """The name, which ONNX keeps on the values."""
        return self.values.name

    @property
    def type(self) -> TensorType:
        """The full type."""
        return TensorType(self.dtype, self.shape, sparse=True)

    @property
    def array(self) -> np.ndarray:
        """The dense form."""
        dense = np.zeros(self.shape, self.values.array.dtype)
        indices = self.indices.array
        if indices.ndim == 1:
            dense.reshape(-1)[indices] = self.values.array
        else:
            dense[tuple(indices.T)] = self.values.array
        return dense
