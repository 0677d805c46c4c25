"""Inference in another engine: which there are, and models in them that follow the weights."""

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import torch

from hetu.convert import to_numpy, to_torch
from hetu.errors import HetuError, RunError, UnsupportedError, UsageError, show
from hetu.ir import Graph, Node, Substitution, Value, describe, nested_graphs
from hetu.runtime.bind import find_kernel
from hetu.runtime.params import ParameterStore, State, is_same, state_of
from hetu.runtime.prepare import with_fed
from hetu.runtime.results import independent, storages
from hetu.types import TensorType, dtype

Session = Callable[[Sequence[Any]], Sequence[Any]]
"""Runs a model: contents of its inputs, in order, to those of its outputs. Tensors are arrays."""

Engine = Callable[[ParameterStore, Sequence[Value], Sequence[Value], int], Session]
"""Loads what computes some outputs from some inputs, with a store's values, on so many threads."""

_ENGINES: dict[str, Engine] = {}


def register_engine(name: str) -> Callable[[Engine], Engine]:
    """Make an engine known as `Executor(..., backend=name)`."""

    def register(engine: Engine) -> Engine:
        _ENGINES[name] = engine
        return engine

    return register


def find_engine(name: str, device: torch.device) -> Engine:
    """The engine of a name. Raises `UsageError` where there is none, or not for a device."""
    if name not in _ENGINES:
        known = ", ".join(map(show, sorted(_ENGINES)))
        raise UsageError(f"there is no backend {show(name)}; there are {known}")
    if device.type != "cpu":
        raise UsageError(f"backend={show(name)} runs on the CPU, not on {device}; leave out ctx=")
    return _ENGINES[name]


MAX_SESSIONS = 16
"""So many models, for different fed variables and ranks of feeds, are kept, with their weights."""


@dataclass(slots=True)
class EngineRunner:
    """Runs a graph in an engine; its model is loaded anew when variables have changed."""

    backend: str
    engine: Engine
    graph: Graph
    store: ParameterStore
    _sessions: OrderedDict[tuple[Any, ...], tuple[State, Session]] = field(
        default_factory=OrderedDict, init=False
    )

    def run(self, fed: tuple[Value, ...], feeds: Sequence[Any]) -> list[Any]:
        """The graph's outputs; the last feeds are the contents of the initializers `fed`."""
        session = self._session(fed, feeds)
        try:
            results = session([_outward(feed) for feed in feeds])
        except HetuError:
            raise
        except Exception as error:
            raise RunError(f"{self.backend} failed: {error}") from error
        shared = storages(feeds)
        return [independent(_inward(result), shared) for result in results]

    def _session(self, fed: tuple[Value, ...], feeds: Sequence[Any]) -> Session:
        used = (v for v in self.graph.initializers if v in self.store and v not in fed)
        state = state_of(self.store[value] for value in used)
        kinds = tuple((feed.dtype, feed.ndim) if hasattr(feed, "ndim") else None for feed in feeds)
        known = self._sessions.pop((fed, kinds), None)
        if known is None or not is_same(known[0], state):
            del known  # before there is another
            known = state, self._load(_typed(with_fed(self.graph, fed), feeds))
        self._sessions[fed, kinds] = known
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return known[1]

    def _load(self, graph: Graph) -> Session:
        advice = f"leave out backend={self.backend!r} to run it on torch"
        nodes = [node for inner in nested_graphs(graph) for node in inner.nodes]
        for node in nodes:
            if node.function is None and find_kernel(node).is_custom:
                raise UnsupportedError(
                    f"{describe(node)}: {self.backend} has no kernel of this name; {advice}"
                )
        outputs = [value for value in graph.outputs if value is not None]
        try:
            return self.engine(self.store, graph.inputs, outputs, torch.get_num_threads())
        except HetuError:
            raise
        except Exception as error:
            raise UnsupportedError(
                f"{_culprit(nodes, str(error))}: {self.backend} cannot run it; {advice}: {error}"
            ) from error


def _culprit(nodes: Sequence[Node], message: str) -> str:
    """The only node whose name a message has, or whose operator it has; else the graph."""
    for part in (attrgetter("name"), attrgetter("op_type")):
        named = [node for node in nodes if _has_word(message, part(node))]
        if len(named) == 1:
            return describe(named[0])
    return "the graph"


def _has_word(message: str, word: str) -> bool:
    return bool(word) and bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message))


def _typed(graph: Graph, feeds: Sequence[Any]) -> Graph:
    """The graph whose inputs of unknown type or rank have those of the feeds."""
    typed = {
        value: Value(value.name, TensorType(dtype(feed.dtype), (None,) * feed.ndim))
        for value, feed in zip(graph.inputs, feeds, strict=True)
        if (value.dtype is None or value.shape is None) and hasattr(feed, "ndim")
    }
    if not typed:
        return graph
    inputs = tuple(typed.get(value, value) for value in graph.inputs)
    return replace(Substitution(typed).graph(graph), inputs=inputs)


def _outward(content: Any) -> Any:
    if isinstance(content, tuple):
        return [_outward(element) for element in content]
    return to_numpy(content) if isinstance(content, torch.Tensor) else content


def _inward(content: Any) -> Any:
    if isinstance(content, list | tuple):
        return tuple(map(_inward, content))
    return content if content is None or isinstance(content, dict) else to_torch(content)
