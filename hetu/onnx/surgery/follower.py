"""Makes a graph follow the batch where its exporter wrote one size of it into the graph.

Every node runs on a few batches of the old size, and on one of another size that holds their
samples. Where it does not give the same results, the sizes among its constant inputs are tried as
multiples of the batch, and its operands are tried stretched along it: what gives them is right.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import Any

import numpy as np

from hetu.api.value import constant, make
from hetu.convert import to_torch
from hetu.errors import UnsupportedError
from hetu.ir import (
    Graph,
    Node,
    SparseTensor,
    Substitution,
    Tensor,
    Value,
    dependencies,
    describe,
    needed_leaves,
    needed_nodes,
)
from hetu.onnx.surgery.repetition import ALONE, LAST, Repetition
from hetu.ops.registry import find
from hetu.runtime.evaluate import evaluate
from hetu.types import Dim, TensorType, ValueType

Inputs = tuple[Value | None, ...]

_ABSENT = LAST - 1


class BatchFollower:
    """A graph on its way from batches of `old` samples to those of `size`, a number or a name.

    `types` holds what the changed graph's values are, where that differs from the file. `_small`
    holds what the file's values are on each of the small batches, `_large` what those of the
    changed graph are on the large one, `_batched` the file's values that have the batch, `_static`
    those that depend on no input.
    """

    def __init__(self, old: int, size: int | str) -> None:
        self.types: dict[Value, ValueType] = {}
        self.repetition = Repetition(old, size if isinstance(size, int) else 2 * old + 1)
        self._size = size
        self._values = Substitution()
        self._small: dict[Value, Sequence[Any]] = {}
        self._large: dict[Value, Any] = {}
        self._batched: set[Value] = set()
        self._static: set[Value] = set()
        self._placed: set[Node] = set()
        self._uses: Counter[Value] = Counter()
        self._batch: Value | None = None

    def graph(
        self,
        graph: Graph,
        axes: Mapping[Value, int],
        types: Mapping[Value, TensorType],
        examples: Mapping[Value, Sequence[np.ndarray]],
    ) -> Graph:
        """The changed graph. Inputs in `axes` have the batch; `types` says what they become.

        `examples` holds what each input is in each of the small batches.
        """
        for value in dict.fromkeys((*graph.inputs, *graph.initializers)):
            if isinstance(value.data, Tensor | SparseTensor):
                self._static.add(value)
                self._keep(value, to_torch(value.data.array))
            elif value in axes:
                self._feed(value, types[value], axes[value], examples[value])
            else:
                self._keep(value, to_torch(examples[value][0]))
        self._uses.update(v for node in graph.nodes for v in set(dependencies(node)))
        nodes = list(chain.from_iterable(map(self._follow, graph.nodes)))
        inputs = tuple(self._values[value] for value in graph.inputs)
        return _pruned(graph, replace(self._values.graph(graph, nodes), inputs=inputs))

    def _keep(self, value: Value, content: Any) -> None:
        self._small[value], self._large[value] = [content] * self.repetition.batches, content

    def _feed(
        self, value: Value, new_type: TensorType, axis: int, batches: Sequence[np.ndarray]
    ) -> None:
        fresh = replace(value, type=new_type)
        self._values[value] = fresh
        large = to_torch(self.repetition.merged(batches, axis))
        self._note(value, fresh, [to_torch(batch) for batch in batches], large)
        if self._batch is None and isinstance(self._size, str):
            self._batch = make("Gather", make("Shape", fresh), constant(np.array([axis])))

    def _note(self, old: Value, new: Value, small: Sequence[Any], large: Any) -> None:
        """Keep what a value is on all batches, and what its type is now."""
        self._small[old], self._large[new] = small, large
        place = self.repetition.place(small, large)
        if place is None:
            return
        self._batched.add(old)
        if not isinstance(old.type, TensorType) or not old.type.shape:
            return
        dims: list[Dim] = list(old.type.shape)
        named = self._size if place.how == ALONE else None
        dims[place.axis] = large.shape[place.axis] if isinstance(self._size, int) else named
        self.types[new] = replace(old.type, shape=tuple(dims))

    def _follow(self, node: Node) -> list[Node]:
        """What takes the node's place: of the candidates that run, the one that follows best."""
        small = self._run_small(node)
        best, best_large, rank = None, (), _ABSENT - 1
        for candidate in self._candidates(node):
            large = self._run_large(candidate)
            if large is not None and self._rank(small, large) > rank:
                best, best_large, rank = candidate, large, self._rank(small, large)
            if rank == ALONE:
                break
        if best is None:
            raise UnsupportedError(f"{describe(node)} cannot follow the batch to another size")
        placed = [*self._unplaced(best), best]
        self._placed.update(placed)
        for old, new, s, large in zip(node.outputs, best.outputs, small, best_large, strict=False):
            if old is not None and new is not None:
                self._values[old] = new
                self._note(old, new, s, large)
        self._release(node)
        return placed

    def _run_small(self, node: Node) -> list[Sequence[Any]]:
        """The outputs on each of the small batches; what depends on no input runs once."""
        if self._static.issuperset(dependencies(node)):
            self._static.update(value for value in node.outputs if value is not None)
            return [[result] * self.repetition.batches for result in self._run(node, 0)]
        runs = [self._run(node, batch) for batch in range(self.repetition.batches)]
        return list(zip(*runs, strict=True))

    def _run(self, node: Node, batch: int) -> tuple[Any, ...]:
        known = {v: self._small[v][batch] for v in dependencies(node) if v in self._small}
        return evaluate(node, known)

    def _run_large(self, node: Node) -> tuple[Any, ...] | None:
        """The outputs on the large batch; None where the node cannot run on it."""
        try:
            for made in self._unplaced(node):
                if made.outputs[0] not in self._large:
                    results = evaluate(made, self._known(made))
                    self._large.update(zip(made.outputs, results, strict=False))  # pyright: ignore
            return evaluate(node, self._known(node))
        except Exception:  # kernels refuse what does not fit, each in its own way
            return None

    def _known(self, node: Node) -> dict[Value, Any]:
        return {value: self._large[value] for value in dependencies(node) if value in self._large}

    def _rank(self, small: Sequence[Sequence[Any]], large: Sequence[Any]) -> int:
        """How the outputs hold the batch; the larger, the likelier that it is meant so."""
        places = [self.repetition.place(s, b) for s, b in zip(small, large, strict=True)]
        return max((place.how for place in places if place is not None), default=_ABSENT)

    def _release(self, node: Node) -> None:
        """Forget what the values are that no later node uses."""
        for value in set(dependencies(node)):
            self._uses[value] -= 1
            if not self._uses[value] and value.node is not None:
                del self._small[value], self._large[self._values[value]]

    def _unplaced(self, node: Node) -> list[Node]:
        """The nodes made for a candidate, in order."""
        found: set[Node] = set()
        pending = [value.node for value in node.inputs if value is not None]
        while pending:
            made = pending.pop()
            if made is not None and made not in self._placed:
                found.add(made)
                pending += [value.node for value in made.inputs if value is not None]
        return sorted(found, key=lambda made: made.serial)

    # Candidates -----------------------------------------------------------------------------------

    def _candidates(self, node: Node) -> Iterator[Node]:
        """The node as it is, then the forms in which it may follow the batch where it has to."""
        plain = self._values.node(node)
        yield plain
        if self._batched.isdisjoint(dependencies(node)) and self._run_large(plain) is not None:
            return
        for inputs in chain(self._resized(node, plain), self._stretched(node, plain)):
            yield self._values.copy(node, inputs, plain.attributes)

    def _resized(self, node: Node, plain: Node) -> Iterator[Inputs]:
        """Inputs with one size in a constant as a multiple of the batch."""
        kernel = find(node.domain, node.op_type, node.version)
        for index, value in enumerate(node.inputs):
            parameter = kernel.input_at(index) if kernel else None
            if parameter is None or parameter.kind != "Ints" or value not in self._static:
                continue
            sizes = self._small[value][0].tolist()
            for fresh in self._resizes(sizes, infers=node.op_type == "Reshape"):
                yield (*plain.inputs[:index], fresh, *plain.inputs[index + 1 :])

    def _resizes(self, sizes: Sequence[int], infers: bool) -> Iterator[Value]:
        """The sizes with a multiple of the batch in one place; -1 where the operator infers it."""
        for position, length in enumerate(sizes):
            if length < 1 or length % self.repetition.old:
                continue
            before, after = sizes[:position], sizes[position + 1 :]
            if infers and -1 not in sizes:
                yield constant(np.array([*before, -1, *after]))
            yield self._with_batch(before, length // self.repetition.old, after)

    def _with_batch(self, before: Sequence[int], multiple: int, after: Sequence[int]) -> Value:
        """`before`, a multiple of the batch, and `after`, as one tensor."""
        if self._batch is None:
            return constant(np.array([*before, multiple * self.repetition.new, *after]))
        batch = self._batch if multiple == 1 else make("Mul", self._batch, np.array([multiple]))
        sizes = np.asarray(before, np.int64), np.asarray(after, np.int64)
        parts = [sizes[0], batch, sizes[1]]
        parts = [part for part in parts if isinstance(part, Value) or part.size]
        return make("Concat", *parts, axis=0) if len(parts) > 1 else batch

    def _stretched(self, node: Node, plain: Node) -> Iterator[Inputs]:
        """Inputs with one or two of those that lack the batch expanded along it."""
        options = [
            (index, axis)
            for index, value in enumerate(node.inputs)
            if value in self._small and value not in self._batched
            for axis in self.repetition.uniform_axes(self._small[value][0])
        ]
        for chosen in chain(combinations(options, 1), combinations(options, 2)):
            inputs = list(plain.inputs)
            for index, axis in chosen:
                inputs[index] = self._expanded(inputs[index], axis)
            yield tuple(inputs)

    def _expanded(self, value: Value | None, axis: int) -> Value:
        assert value is not None
        rank = len(self._large[value].shape) if value in self._large else axis + 1
        if self.repetition.old > 1:
            value = make("Slice", value, starts=[0], ends=[1], axes=[axis])
        target = self._with_batch([1] * axis, 1, [1] * (rank - axis - 1))
        return make("Expand", value, target)


def _pruned(old: Graph, new: Graph) -> Graph:
    """The new graph without what it no longer needs, except for what the old one did not need."""
    unneeded = set(_needed(old)) - set(_needed(new))
    return replace(
        new,
        nodes=tuple(node for node in new.nodes if node not in unneeded),
        initializers=tuple(value for value in new.initializers if value not in unneeded),
    )


def _needed(graph: Graph) -> Iterable[Node | Value]:
    return (*needed_nodes(graph.outputs), *needed_leaves(graph.outputs))
