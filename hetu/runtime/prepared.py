"""Values that depend on weights alone: computed once, and again when the weights have changed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any
from weakref import WeakValueDictionary

import torch

from hetu.ir import Graph, Node, Tensor, Value, dependencies
from hetu.ops.fused.convolution import LIKE_SHAPE
from hetu.ops.kinds import Context
from hetu.ops.native import Packed, packed_form, packed_together, use, when_packed
from hetu.pages import used_again
from hetu.passes.fold import MAX_GROWN_BYTES
from hetu.passes.hoist import Hoisted, hoist
from hetu.runtime.evaluate import evaluate
from hetu.runtime.heap import large_blocks_apart
from hetu.runtime.params import ParameterStore, State, is_same, state_of
from hetu.runtime.results import storages
from hetu.runtime.unpacking import variables_in

_Key = bytes
_SMALL = 1024

_GROWTH = 4
"""Winograd's convolutions have 36 numbers for each 9 of a weight; other packed ones are padded."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class _Content:
    """A value's content, and the state of the variables that it was computed from."""

    state: State
    tensor: torch.Tensor


class Preparation:
    """The prepared values of one plan. `hoisted.graph` takes them as its last inputs.

    `tensors` are the values, in their order, and `storages` is where they lie.
    """

    def __init__(self, hoisted: Hoisted, variables: Sequence[int] = ()) -> None:
        self.hoisted = hoisted
        self.tensors: list[torch.Tensor] = []
        self.storages: set[int] = set()
        self._variables = variables
        self._state: State = ([], [], 0)
        self._edition: int | None = None
        self._contents: Sequence[_Content] = ()

    def is_current(self, parameters: Sequence[torch.Tensor], edition: int | None) -> bool:
        """Whether the values are those for some parameters, which are of an edition of a store."""
        if edition is not None and edition == self._edition:
            _, _, threads = self._state
            return threads == torch.get_num_threads()
        is_current = is_same(self._state, self._state_of(parameters))
        self._edition = edition if is_current else None
        return is_current

    def take(self, contents: Sequence[_Content], parameters: Sequence[torch.Tensor]) -> None:
        """Hold what was computed from some parameters, and keep it alive for other plans."""
        self._state = self._state_of(parameters)
        self._contents = contents
        self.tensors = [content.tensor for content in contents]
        self.storages = storages(t for t in self.tensors if t.layout is torch.strided)

    @property
    def borrowed(self) -> list[int]:
        """The positions of variables whose own memory is among that of the values."""
        tensors, _, _ = self._state
        pairs = zip(self._variables, tensors, strict=True)
        return [position for position, tensor in pairs if storages([tensor]) & self.storages]

    def _state_of(self, parameters: Sequence[torch.Tensor]) -> State:
        return state_of([parameters[position] for position in self._variables])


class Preparer:
    """Prepares values for all plans of an executor: equal ones are computed and kept once."""

    def __init__(self, store: ParameterStore, device: torch.device) -> None:
        self._store = store
        self._context = Context(training=False, device=device)
        self._known: WeakValueDictionary[_Key, _Content] = WeakValueDictionary()
        self._packed: WeakValueDictionary[tuple[_Key, bytes], _Content] = WeakValueDictionary()

    def prepare(self, graph: Graph, hoists: bool) -> Preparation:
        """Take what variables alone decide out of a graph if it `hoists`; else nothing."""
        if not hoists:
            return Preparation(Hoisted(graph))
        work = self._work(self._store.tensors, graph.nodes, graph.outputs)
        with self._apart(), used_again(), packed_together():
            hoisted = hoist(graph, lambda node: self._is_ready(node, work))
        positions = sorted({p for value in hoisted.values for p in work.variables(value)})
        preparation = Preparation(hoisted, positions)
        self._compute(preparation, work)
        return preparation

    def update(self, preparation: Preparation, parameters: Sequence[torch.Tensor]) -> None:
        """Bring the prepared values up to date with some parameters."""
        edition = self._store.edition if parameters is self._store.tensors else None
        if not preparation.is_current(parameters, edition):
            hoisted = preparation.hoisted
            work = self._work(parameters, hoisted.nodes, hoisted.values)
            with self._apart(), used_again(), packed_together():
                for node in hoisted.nodes:
                    self._is_ready(node, work)
            self._compute(preparation, work)

    def _work(
        self,
        parameters: Sequence[torch.Tensor],
        nodes: Iterable[Node],
        results: Iterable[Value | None],
    ) -> "_Work":
        return _Work(self._store, parameters, self._context, nodes, results)

    def _apart(self) -> AbstractContextManager[None]:
        return large_blocks_apart() if self._context.device.type == "cpu" else nullcontext()

    def _is_ready(self, node: Node, work: "_Work") -> bool:
        """Whether another plan has a node's results, or it is worth it to compute them now."""
        if any(v is not None and self._find(v, work) is None for v in node.outputs):
            return work.is_worth_it(node)
        work.let_go(node)
        return True

    def _find(self, value: Value, work: "_Work") -> _Content | None:
        known = self._known.get(work.key(value))
        is_current = known is not None and is_same(known.state, work.state(value))
        return known if is_current else None

    def _compute(self, preparation: Preparation, work: "_Work") -> None:
        with self._apart():  # other threads find what is packed here: it is so at once
            contents = [self._content(value, work) for value in preparation.hoisted.values]
        preparation.take(contents, work.parameters)
        self._store.keep(preparation.borrowed)

    def _content(self, value: Value, work: "_Work") -> _Content:
        content = self._find(value, work)
        if content is None:
            content = self._shared(value, _Content(work.state(value), work.tensor(value)), work)
            self._known[work.key(value)] = content
        return content

    def _shared(self, value: Value, content: _Content, work: "_Work") -> _Content:
        """What was packed alike for other shapes, in place of an equal content."""
        form = packed_form(content.tensor)
        if form is None:
            return content
        place = work.meaning(value), form
        known = self._packed.get(place)
        if known is None or not is_same(known.state, content.state):
            self._packed[place] = content
            return content
        if isinstance(content.tensor, Packed):  # of which variables may be made again
            content.tensor.data = known.tensor.data
        return known


class _Work:
    """Computes values from some parameters, and lets go what no `nodes` and `results` need."""

    def __init__(
        self,
        store: ParameterStore,
        parameters: Sequence[torch.Tensor],
        context: Context,
        nodes: Iterable[Node],
        results: Iterable[Value | None],
    ) -> None:
        self.parameters = parameters
        self._store = store
        self._positions = store.positions
        self._context = context
        self._contents: dict[Value, Any] = {}
        self._keys: dict[Value, _Key] = {}
        used = (value for node in nodes for value in node.inputs)
        self._uses = Counter(value for value in (*used, *results) if value is not None)

    def is_worth_it(self, node: Node) -> bool:
        """Whether a node can be run, and does not make much more out of little."""
        try:
            results = self._run(node)
        except Exception:  # it fails again when it is run in its place, which the error then names
            return False
        if not all(isinstance(result, torch.Tensor) for result in results):
            return False
        given = [self._content(value) for value in node.inputs if value is not None]
        limit = max(MAX_GROWN_BYTES, _GROWTH * sum(_bytes(c) for c in given if c is not None))
        is_worth_it = sum(map(_bytes, results)) <= limit
        if is_worth_it:
            self.let_go(node)
        return is_worth_it

    def tensor(self, value: Value) -> torch.Tensor:
        """The content of a value."""
        if value not in self._contents and value.node is not None:
            self._run(value.node)
            self.let_go(value.node)
        return self._contents[value]

    def state(self, value: Value) -> State:
        """That of the variables that a value depends on."""
        return state_of(self.parameters[position] for position in self.variables(value))

    def variables(self, value: Value) -> list[int]:
        """The positions of the variables that a value depends on."""
        pending, found, seen = [value], [], set()
        while pending:
            current = pending.pop()
            if current in seen:
                continue
            seen.add(current)
            if current in self._positions:
                found.append(self._positions[current])
            elif current.node is not None:
                pending += [v for v in current.node.inputs if v is not None]
        return sorted(found)

    def key(self, value: Value) -> _Key:
        """What equal values have in common: a digest of how they are computed."""
        if value not in self._keys:
            self._keys[value] = _digest(self._description(value))
        return self._keys[value]

    def meaning(self, value: Value) -> _Key:
        """What values have in common that differ at most in the form that they are packed in."""
        return _digest(self._description(value, frozenset({LIKE_SHAPE})))

    def _description(
        self, value: Value, without: frozenset[str] = frozenset()
    ) -> tuple[object, ...]:
        node = value.node
        if node is not None:
            attributes = sorted(
                (name, repr(a.value)) for name, a in node.attributes.items() if name not in without
            )
            inputs = [None if v is None else self.key(v) for v in node.inputs]
            return node.domain, node.op_type, node.version, value.index, attributes, inputs
        if value in self._positions:
            return "variable", self._positions[value]
        if isinstance(value.data, Tensor) and value.data.array.nbytes <= _SMALL:
            array = value.data.array
            return "constant", array.dtype.str, array.shape, array.tobytes()
        return "constant", value.serial

    def _run(self, node: Node) -> Sequence[Any]:
        for value in node.inputs:
            if value is not None and value.node is not None:
                self.tensor(value)
        given = {v: c for v in dependencies(node) if (c := self._read(v)) is not None}
        use(given.values())
        results = evaluate(node, given, self._context)
        pairs = zip(node.outputs, results, strict=False)
        self._contents.update((value, result) for value, result in pairs if value is not None)
        for result in results:
            if isinstance(result, Packed):
                self._give_up(node, result)
        return results

    def _content(self, value: Value) -> Any:
        """What is known of a value; the memory of a variable may have been given up."""
        if value in self._positions:
            return self.parameters[self._positions[value]]
        return self._contents.get(value)

    def _read(self, value: Value) -> Any:
        """A value's content, None for a constant."""
        position = self._positions.get(value)
        if position is not None and self._is_own(position):
            return self._store.read(position)
        return self._content(value)

    def _is_own(self, position: int) -> bool:
        """Whether a parameter is the store's, and not one that was fed in its place."""
        return self.parameters[position] is self._store.tensors[position]

    def _give_up(self, node: Node, packed: Packed) -> None:
        """Let variables go that a packed weight has all of, and that nothing else uses."""
        for value, take in variables_in(packed, node, self._content):
            position = self._positions[value]
            if self._is_own(position) and self._uses[value] == 1:
                when_packed(packed, partial(self._store.give_up, position, take))

    def let_go(self, node: Node) -> None:
        """Take note that a node has been run, which was the last that needed some of its inputs."""
        for value in node.inputs:
            if value is not None and value.node is not None:
                self._uses[value] -= 1
                if not self._uses[value]:
                    self._contents.pop(value, None)


def _digest(description: tuple[object, ...]) -> _Key:
    return blake2b(repr(description).encode(), digest_size=16).digest()


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
