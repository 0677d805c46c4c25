"""What a rule sees of one use of a value, and what it may answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import onnx

from hetu.onnx.verification.outline import Shape, Use
from hetu.types import STRING, DType, dtype


@dataclass(frozen=True, slots=True)
class Between:
    """Numbers from `low` to `high`, both included; `high` may differ by column.

    `is_real` says that fractions are fine.
    """

    low: float
    high: Any
    is_real: bool = False


@dataclass(frozen=True, slots=True)
class Exactly:
    """The whole content, in the order of its elements; one number stands for every element."""

    values: Any


@dataclass(frozen=True, slots=True)
class OneOf:
    """Any of some values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Distinct:
    """Positions that do not repeat: along `axis`, or, without one, rows of coordinates."""

    dims: tuple[int, ...]
    axis: int | None = None


Domain = Between | Exactly | OneOf | Distinct


@dataclass(frozen=True)
class Site:
    """One use of a value, with what is known around it.

    `is_whole` says that the value reaches it with its elements in their order. `shape` is the
    value's own.
    """

    use: Use
    version: int
    is_whole: bool
    shape: tuple[int, ...]
    types: Mapping[str, onnx.TypeProto]
    constants: Mapping[str, np.ndarray]

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes."""
        return {a.name: onnx.helper.get_attribute_value(a) for a in self.use.node.attribute}

    @property
    def count(self) -> int:
        """How many elements the value has."""
        return prod(self.shape)

    def name_of(self, index: int) -> str:
        """The name of one of the node's inputs, or nothing."""
        inputs = self.use.node.input
        return inputs[index] if index < len(inputs) else ""

    def shape_of(self, index: int) -> Shape | None:
        """The shape of one of the node's inputs, where its rank is known."""
        found = self.types.get(self.name_of(index))
        if found is None or not found.tensor_type.HasField("shape"):
            return None
        dims = found.tensor_type.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)

    def element_of(self, index: int) -> DType | None:
        """The element type of one of the node's inputs."""
        found = self.types.get(self.name_of(index))
        return dtype(found.tensor_type.elem_type) if found and found.tensor_type.elem_type else None

    def dim(self, index: int, axis: int, default: int = 1) -> int:
        """A dimension of one of the node's inputs."""
        shape = self.shape_of(index)
        if shape is None or not -len(shape) <= axis < len(shape):
            return default
        return default if shape[axis] is None else shape[axis]  # pyright: ignore[reportReturnType]

    def constant(self, index: int) -> np.ndarray | None:
        """One of the node's inputs, if it is a small constant."""
        found = self.constants.get(self.name_of(index))
        return found if found is not None and found.size else None

    @property
    def is_integer(self) -> bool:
        """Whether the value is of integers where it is used."""
        element = self.element_of(self.use.index)
        return element is None or not (element.is_float or element is STRING)
