"""What a graph is: values, nodes, graphs, functions and models.

A value knows the node that produces it, so a value alone stands for the whole computation behind
it. Nodes are made after their inputs, hence their serial numbers are a topological order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from hetu.ir.tensor import SparseTensor, Tensor
from hetu.types import AttributeKind, DType, TensorType, ValueType

_serials = count()


def next_serial() -> int:
    """A number larger than every one given before: what is made later comes later in the order."""
    return next(_serials)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attribute:
    """A static argument of a node; `reference` names the function attribute it stands for."""

    kind: AttributeKind
    value: Any = None
    reference: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How to make a variable's first value: `make(generator)` returns an array of `type`."""

    type: TensorType
    make: Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule(Recipe):
    """A variable that changes by itself: `after(n)` is its value after the n-th training run."""

    after: Callable[[int], np.ndarray]


Data = Tensor | SparseTensor | Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """One edge of a graph: a node's output, a variable (it has `data`) or a feed (it has neither).

    `trainable` says whether optimizers may change a variable, `constant` that nothing may. `casts`
    says of a feed that numbers of other types are converted instead of refused.
    """

    name: str = ""
    type: ValueType | None = None
    node: "Node | None" = None
    index: int = 0
    data: Data | None = None
    trainable: bool = False
    constant: bool = False
    casts: bool = False
    model: "Model | None" = None
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    serial: int = field(default_factory=_serials.__next__)

    @property
    def is_feed(self) -> bool:
        """Whether the value has to be fed."""
        return self.node is None and self.data is None

    @property
    def dtype(self) -> DType | None:
        """The element type, where it is known."""
        return self.type.dtype if isinstance(self.type, TensorType) else None

    @property
    def shape(self) -> tuple[Any, ...] | None:
        """The dimensions, where the rank is known."""
        return self.type.shape if isinstance(self.type, TensorType) else None

    def __repr__(self) -> str:
        origin = f" of {self.node.op_type}" if self.node else ""
        return f"<{type(self).__name__} {self.name!r}{origin}: {self.type or 'unknown type'}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node:
    """One operator applied: `version` is the opset of its domain that the node was written for.

    `function` is what a call to a model-local function (or to an operator that only its schema's
    body defines) runs. `carried` is what a file says of the node that hetu only hands on.
    """

    op_type: str
    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    domain: str = ""
    version: int = 1
    overload: str = ""
    name: str = ""
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    function: "Function | None" = None
    carried: Any = None
    serial: int = field(default_factory=_serials.__next__)
    outputs: tuple[Value | None, ...] = field(default=(), init=False)

    @property
    def operator(self) -> str:
        """The operator as messages show it: `domain.op_type-version`."""
        return f"{self.domain + '.' if self.domain else ''}{self.op_type}-{self.version}"

    @property
    def has_graphs(self) -> bool:
        """Whether there are graphs among the attributes."""
        return any(a.kind in ("graph", "graphs") for a in self.attributes.values())

    @property
    def graphs(self) -> Iterator["Graph"]:
        """The graphs among the attributes: branches and loop bodies."""
        for attribute in self.attributes.values():
            if attribute.kind == "graph" and attribute.value is not None:
                yield attribute.value
            elif attribute.kind == "graphs" and attribute.value is not None:
                yield from attribute.value


def add_outputs(node: Node, outputs: Sequence[Value | None]) -> Node:
    """Give a new node its outputs; the one moment at which a node is not yet complete."""
    if node.outputs:
        raise ValueError("a node's outputs are fixed once they are given")
    object.__setattr__(node, "outputs", tuple(outputs))
    return node


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Graph:
    """Nodes in topological order between inputs and outputs.

    Values of an enclosing graph may be used freely. `value_info` lists the inner values that a
    file describes, in its order; `described` is what it says, in the place of outputs, of values
    that the graph's nodes do not make; `carried` is what hetu only hands on.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value | None, ...]
    nodes: tuple[Node, ...]
    initializers: tuple[Value, ...] = ()
    name: str = ""
    value_info: tuple[Value, ...] = ()
    described: Mapping[Value, Value] = field(default_factory=dict)
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    carried: Any = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Function:
    """A body that calls run; `defaults` holds the attributes that have one, `required` the others.

    `local` is False for a body that the operator itself supplies: it is run, but not written. Only
    such a body may use values of the graph around it, which `captured` lists.
    """

    domain: str
    name: str
    body: Graph
    overload: str = ""
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Attribute] = field(default_factory=dict)
    opsets: Mapping[str, int] = field(default_factory=dict)
    local: bool = True
    captured: tuple[Value, ...] = ()


@dataclass(slots=True, eq=False, repr=False)
class Model:
    """A file's graph and what the file says around it. Values that came from it refer to it."""

    opsets: Mapping[str, int]
    ir_version: int
    functions: tuple[Function, ...] = ()
    producer_name: str = ""
    producer_version: str = ""
    domain: str = ""
    model_version: int = 0
    doc: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    carried: Any = None
    graph: Graph | None = None
