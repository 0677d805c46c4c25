"""What is known for certain of the values of a graph before it runs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from hetu.ir import Node, Tensor, Value
from hetu.ops.registry import FUSED, find
from hetu.types import DType, TensorType, short_domain


class Facts:
    """Types of values, and how the graph is going to run.

    What a file states of values between nodes may be wrong and is not used: `types` holds what runs
    have shown. `is_inference` says that weights stay as they are and that no gradients are taken,
    `copies_weights` that they are small enough to be kept a second time, in another form, and
    `moves_weights` that they may be kept in another form alone;
    `training` is what the context says, `derivatives` how often results are differentiated,
    `compiles` whether torch.compile takes the graph's source, and `has_library` whether oneDNN's
    own library is there and can compute what the graph does.
    """

    def __init__(
        self,
        types: Mapping[Value, TensorType] | None = None,
        is_inference: bool = False,
        copies_weights: bool = True,
        training: bool | None = None,
        derivatives: int = 0,
        compiles: bool = False,
        has_library: bool = False,
        moves_weights: bool = False,
    ) -> None:
        self.is_inference = is_inference
        self.copies_weights = copies_weights
        self.training = training
        self.derivatives = derivatives
        self.compiles = compiles
        self.has_library = has_library
        self.moves_weights = moves_weights
        self._types = dict(types or {})

    def type(self, value: Value | None) -> TensorType | None:
        """The value's type, None where it is not known or no tensor's."""
        if value is None:
            return None
        if value.data is not None:
            return value.data.type
        if value in self._types:
            return self._types[value]
        return value.type if value.is_feed and isinstance(value.type, TensorType) else None

    def dtype(self, value: Value | None) -> DType | None:
        """The element type, None where it is not known."""
        known = self.type(value)
        return known.dtype if known else None

    def rank(self, value: Value | None) -> int | None:
        """The number of dimensions, None where it is not known."""
        known = self.type(value)
        return None if known is None or known.shape is None else len(known.shape)

    def shape(self, value: Value | None) -> tuple[int, ...] | None:
        """The dimensions, None where one of them is not known."""
        known = self.type(value)
        if known is None or known.shape is None:
            return None
        sizes = tuple(size for size in known.shape if isinstance(size, int))
        return sizes if len(sizes) == len(known.shape) else None

    def state(self, value: Value, known: TensorType | None) -> Value:
        """Note the type of a value that a pass made; returns the value."""
        if known is not None:
            self._types[value] = known
        return value

    def carry(self, old: Value, new: Value) -> None:
        """Let what is known of a value hold for the one that takes its place."""
        if old in self._types:
            self._types[new] = self._types[old]

    def follow(self, old: Node, new: Node) -> Node:
        """Let what is known of a node's results hold for those of `new`, which is returned."""
        for before, after in zip(old.outputs, new.outputs, strict=True):
            if before is not None and after is not None:
                self.carry(before, after)
        return new


def constant_array(value: Value | None) -> np.ndarray | None:
    """The array of a constant, None for other values."""
    if value is None or not value.constant or not isinstance(value.data, Tensor):
        return None
    return value.data.array


def is_onnx(node: Node | None, *op_types: str) -> bool:
    """Whether there is a node and it is one of these operators of ai.onnx."""
    return node is not None and node.op_type in op_types and not short_domain(node.domain)


def is_fused(node: Node | None, op_type: str) -> bool:
    """Whether there is a node and it is this operator of those that only passes create."""
    return node is not None and (node.domain, node.op_type) == (FUSED, op_type)


def made_by(value: Value | None, *op_types: str) -> Node | None:
    """The node that makes a value, if it is one of these operators of ai.onnx."""
    node = value.node if value is not None else None
    return node if is_onnx(node, *op_types) else None


def makers_of(node: Node) -> set[str]:
    """The operators that make a node's inputs."""
    return {v.node.op_type for v in node.inputs if v is not None and v.node is not None}


def argument(node: Node, name: str) -> Any:
    """What a node gives for a setting that is an attribute in some versions and an input in others.

    An attribute's value, or a constant input as an array; the operator's default where the node
    gives none. Raises `LookupError` where an input is given that is no constant.
    """
    if name in node.attributes:
        return node.attributes[name].value
    kernel = find(node.domain, node.op_type, node.version)
    if kernel is None:
        raise LookupError(name)
    for parameter, value in zip(kernel.inputs, node.inputs, strict=False):
        if parameter.name == name and value is not None:
            array = constant_array(value)
            if array is None:
                raise LookupError(name)
            return array
    if name in kernel.attributes:
        return kernel.attributes[name].default
    return None


def axes_of(node: Node, rank: int | None) -> tuple[int, ...] | None:
    """The axes that a node names, counted from the end as negative numbers where that is possible.

    None where they are not known; without axes the node means all of them.
    """
    try:
        axes = argument(node, "axes")
    except LookupError:
        return None
    if axes is None:
        return None if rank is None else tuple(range(-rank, 0))
    numbers = tuple(int(axis) for axis in np.asarray(axes).reshape(-1))
    if all(axis < 0 for axis in numbers):
        return tuple(sorted(numbers))
    return None if rank is None else tuple(sorted(a - rank if a >= 0 else a for a in numbers))
