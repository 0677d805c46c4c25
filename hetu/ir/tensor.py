"""Constant data inside a graph."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from hetu.types import DType, TensorType, dtype


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """What is known of an array whose memory was let go, and what makes it again."""

    dtype: np.dtype
    shape: tuple[int, ...]
    make: Callable[[], np.ndarray]


_LOCK = Lock()


class Tensor:
    """A constant: its array, and what a file says of it beside the data.

    `packed` tells whether a file holds the data as raw bytes, `external` whether they lie in a file
    beside the model; both are kept so that the tensor is written the way it came. The array is
    shared, never written to.
    """

    __slots__ = ("_array", "_given_up", "doc", "external", "metadata", "name", "packed")

    def __init__(
        self,
        array: np.ndarray,
        name: str = "",
        doc: str = "",
        metadata: Mapping[str, str] | None = None,
        packed: bool = True,
        external: bool = False,
    ) -> None:
        self._array: np.ndarray | None = array
        self._given_up: _GivenUp | None = None
        self.name = name
        self.doc = doc
        self.metadata = metadata or {}
        self.packed = packed
        self.external = external

    @property
    def array(self) -> np.ndarray:
        """The array, which is made again if it was given up."""
        array = self._array
        return self._made() if array is None else array

    def read(self) -> np.ndarray:
        """The array, which is not kept if it had to be made again."""
        given_up = self._given_up
        return self.array if given_up is None else given_up.make()

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self._known.shape

    @property
    def dtype(self) -> DType:
        """The element type."""
        return dtype(self._known.dtype)

    @property
    def type(self) -> TensorType:
        """The full type."""
        return TensorType(self.dtype, self.shape)

    def with_array(self, array: np.ndarray) -> "Tensor":
        """A tensor of which a file says the same."""
        return Tensor(array, self.name, self.doc, self.metadata, self.packed, self.external)

    def give_up(self, make: Callable[[], np.ndarray]) -> None:
        """Let the array's memory go; `make` makes an equal one when it is asked for again."""
        with _LOCK:
            array = self._array
            if array is not None:
                self._given_up = _GivenUp(array.dtype, array.shape, make)
                self._array = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles have the array."""
        facts = self.name, self.doc, self.metadata, self.packed, self.external
        return Tensor, (self.array, *facts)

    @property
    def _known(self) -> np.ndarray | _GivenUp:
        array, given_up = self._array, self._given_up
        if array is not None:
            return array
        return given_up or self.array  # which another thread may have made just now

    def _made(self) -> np.ndarray:
        with _LOCK:
            if self._array is None:
                assert self._given_up is not None
                self._array = self._given_up.make()
                self._given_up = None
            return self._array


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
