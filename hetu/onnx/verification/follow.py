"""From an input to everything that uses it, through operators that hand their numbers on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx

from hetu.onnx.verification.outline import Scope, Use

_SAME_ORDER = frozenset({"Cast", "CastLike", "Flatten", "Identity", "Reshape", "Squeeze",
                         "Unsqueeze"})  # fmt: skip
"""Operators that hand their first input on with its elements in their order."""

_SELECTING = frozenset({
    "Clip", "Compress", "DepthToSpace", "Expand", "Gather", "GatherElements", "GatherND",
    "OptionalGetElement", "Pad", "ReduceMax", "ReduceMin", "Slice", "SpaceToDepth", "Split", "Tile",
    "Transpose", "Trilu",
})  # fmt: skip
"""Operators whose outputs hold numbers of their first input."""

_MIXING = {"Concat": 0, "Max": 0, "Min": 0, "SequenceConstruct": 0, "Where": 1}
"""Operators whose output holds numbers of all their inputs from a position on."""


@dataclass(frozen=True, slots=True)
class Path:
    """How a value comes from an input x: as scale * x plus something between `low` and `high`.

    `is_whole` says that its elements are in the input's order.
    """

    scale: float = 1.0
    low: float = 0.0
    high: float = 0.0
    is_whole: bool = True

    @property
    def is_identity(self) -> bool:
        """Whether the value is the input itself, perhaps in another shape."""
        return self.is_whole and (self.scale, self.low, self.high) == (1.0, 0.0, 0.0)

    def plus(self, constant: np.ndarray) -> "Path":
        """The sum with a constant."""
        low, high = self.low + float(constant.min()), self.high + float(constant.max())
        return replace(self, low=low, high=high)

    def times(self, factor: float) -> "Path":
        """The product with a number."""
        bounds = sorted((self.low * factor, self.high * factor))
        return replace(self, scale=self.scale * factor, low=bounds[0], high=bounds[1])


def follow(
    scope: Scope, name: str, constants: Mapping[str, np.ndarray]
) -> Iterator[tuple[Use, Path]]:
    """Every use of a value of a graph, directly or handed on."""
    pending = [(scope, name, Path())]
    seen: set[tuple[int, str]] = set()
    while pending:
        scope, name, path = pending.pop()
        if (id(scope), name) in seen:
            continue
        seen.add((id(scope), name))
        for use in scope.uses.get(name, ()):
            yield use, path
            pending.extend(_handed_on(use, path, constants))
        pending.extend(_left(scope, name, path))


def _handed_on(
    use: Use, path: Path, constants: Mapping[str, np.ndarray]
) -> Iterator[tuple[Scope, str, Path]]:
    """What a node makes of a value: its outputs, or inputs of its bodies."""
    node, op_type = use.node, use.node.op_type
    if op_type in ("Loop", "Scan"):
        yield from _into_bodies(use, path)
        return
    if op_type in _SAME_ORDER and use.index == 0:
        after = path
    elif (op_type in _SELECTING and use.index == 0) or use.index >= _MIXING.get(op_type, 1 << 30):
        after = replace(path, is_whole=False)
    else:
        found = _after_arithmetic(use, path, constants)
        if found is None:
            return
        after = found
    yield from ((use.scope, output, after) for output in node.output if output)


def _after_arithmetic(use: Use, path: Path, constants: Mapping[str, np.ndarray]) -> Path | None:
    node, op_type = use.node, use.node.op_type
    if op_type == "Neg":
        return path.times(-1)
    if op_type not in ("Add", "Sub", "Mul") or len(node.input) != 2:
        return None
    other = constants.get(node.input[1 - use.index])
    if other is None or not other.size or other.dtype.kind not in "iuf":
        return None
    if op_type == "Add":
        return path.plus(other)
    if op_type == "Sub":
        return path.plus(-other.astype(float)) if use.index == 0 else path.times(-1).plus(other)
    return path.times(float(other.reshape(-1)[0])) if other.size == 1 and other.any() else None


def _into_bodies(use: Use, path: Path) -> Iterator[tuple[Scope, str, Path]]:
    """Loop and Scan: a body's inputs stand at the positions of the node's."""
    if use.node.op_type == "Loop" and use.index < 2:
        return
    for node, body in use.scope.bodies:
        if node is use.node and use.index < len(body.graph.input):
            yield body, body.graph.input[use.index].name, replace(path, is_whole=False)


def _left(scope: Scope, name: str, path: Path) -> Iterator[tuple[Scope, str, Path]]:
    """The outputs of a body's node that a value leaves through."""
    if scope.owner is None:
        return
    node: onnx.NodeProto = scope.owner.node
    first = 1 if node.op_type == "Loop" else 0
    for index, info in enumerate(scope.graph.output):
        if info.name == name and first <= index < len(node.output) + first:
            after = path if node.op_type == "If" else replace(path, is_whole=False)
            yield scope.owner.scope, node.output[index - first], after
