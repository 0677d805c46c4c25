"""A graph made ready to run: optimized, with what its weights alone decide taken out, compiled."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from hetu import collector
from hetu.ir import Graph, Value, captures
from hetu.ops.kinds import Context
from hetu.ops.native import has_library
from hetu.passes.blocks import blocks
from hetu.passes.depthwise import depthwise
from hetu.passes.facts import Facts
from hetu.passes.fusion import Note, fuse
from hetu.passes.fusions import STAGES
from hetu.passes.layout import channels_last
from hetu.passes.merge import merge
from hetu.passes.parts import parts
from hetu.passes.replays import makes_results, replays
from hetu.passes.tied import packed_tables, tied_tables
from hetu.passes.watch import derivatives, watch, watched_values
from hetu.runtime.compile import Compiler, Instrument
from hetu.runtime.inductor import compiled
from hetu.runtime.params import ParameterStore
from hetu.runtime.prepare import prepare
from hetu.runtime.prepared import Preparation, Preparer
from hetu.runtime.specialize import Like, empty, specialize
from hetu.types import TensorType

_JOINS = (merge, parts, channels_last, depthwise, blocks, tied_tables, packed_tables)
"""What comes after the fusions, with the whole graph in view."""

MAX_COPIED_BYTES = 1 << 30
"""Weights that take more memory than this are not kept in a second, faster form."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A program: `function(feeds, parameters)`, where the prepared values are further feeds.

    `makes_results` says that its results lie in memory of their own, whatever it is given.
    """

    compiler: Compiler
    function: Callable[[Sequence[Any], Sequence[Any]], tuple[Any, ...]]
    differentiates: bool
    preparation: Preparation
    makes_results: bool = False
    notes: Sequence[Note] = ()


@dataclass(slots=True)
class Planner:
    """Makes the plans of one graph in one mode; `optimize` says whether passes change it.

    `compiles` says whether torch.compile takes its source, which then packs no weights. A plan is
    for every input, or for feeds of certain shapes alone: in these, shapes are constants.
    """

    graph: Graph
    context: Context
    store: ParameterStore
    preparer: Preparer
    optimize: bool = True
    compiles: bool = False
    _prepared: Graph | None = field(default=None, init=False)

    @collector.paused()
    def plan(
        self, likes: Sequence[Like | None] | None = None, instrument: Instrument | None = None
    ) -> Plan:
        """The plan for every input, or for feeds like `likes` alone.

        Where it is to be instrumented, torch.compile, which takes a graph as a whole, is left out.
        """
        if self._prepared is None:
            self._prepared = prepare(self.graph, self.context)
        graph = self._prepared
        order = derivatives(graph)
        types: dict[Value, TensorType] = {}
        if likes is not None:
            watched = watched_values(graph) if order else ()
            graph, types = specialize(graph, self._empty(likes), watched)
        is_inference = self.context.training is False and not order
        notes: list[Note] = []
        copies_weights = self.store.nbytes <= MAX_COPIED_BYTES and not self.compiles
        suits_library = self.context.device.type == "cpu" and not self.compiles
        is_in_library = suits_library and has_library()
        facts = Facts(
            types, is_inference, copies_weights, self.context.training, order, self.compiles,
            is_in_library, is_in_library and self.store.gives_up,
        )  # fmt: skip
        if self.optimize:
            for stage in STAGES:
                graph, found = fuse(graph, stage, facts, watched_values(graph) if order else ())
                notes += found
            for join in _JOINS:
                graph, found = join(graph, facts)
                notes += found
        preparation = self.preparer.prepare(graph, hoists=self.optimize and is_inference)
        compiler = Compiler(self.context, self.store.positions, instrument)
        hoisted = preparation.hoisted
        positions = self.store.positions
        self.store.keep(positions[v] for v in captures(hoisted.graph) if v in positions)
        graph = watch(hoisted.graph)
        is_made = facts.has_library and is_inference and makes_results(graph, facts)
        if self.optimize and instrument is None:
            graph, found = replays(graph, facts, set(hoisted.values))
            notes += found
        function = compiler.main(graph, hoisted.values)
        if self.compiles and instrument is None:
            function = compiled(function)
        return Plan(compiler, function, order > 0, preparation, is_made, notes)

    def _empty(self, likes: Sequence[Like | None]) -> Mapping[Value, torch.Tensor]:
        """Tensors without contents, like the feeds and the variables."""
        feeds = zip(self.graph.inputs, likes, strict=True)
        tensors = {value: empty(like) for value, like in feeds if like}
        for value, position in self.store.positions.items():
            tensor = self.store.tensors[position]
            tensors[value] = empty((tensor.shape, tensor.dtype))
        return tensors


MAX_PLANS = 16
"""For so many different shapes of feeds there are plans of their own."""


class Plans:
    """The plans of one graph in one mode, by the shapes of the feeds.

    The first shapes seen get plans of their own at once, so that results do not depend on what ran
    before. When there are too many, others run in the plan for every input until they come again.
    """

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._by_shapes: OrderedDict[tuple[Like | None, ...], Plan] = OrderedDict()
        self._seen: OrderedDict[tuple[Like | None, ...], None] = OrderedDict()
        self._general: Plan | None = None
        self._latest: Plan | None = None

    @property
    def latest(self) -> Plan:
        """The plan that ran last, or is about to."""
        return self._latest or self.general

    @latest.setter
    def latest(self, plan: Plan) -> None:
        self._latest = plan

    @property
    def general(self) -> Plan:
        """The plan for every input."""
        if self._general is None:
            self._general = self._planner.plan()
        return self._general

    def find(self, feeds: Sequence[Any]) -> Plan:
        """The plan to run on some feeds."""
        self._latest = self._find(tuple(map(_like, feeds)))
        return self._latest

    def instrumented(self, feeds: Sequence[Any], instrument: Instrument) -> Plan:
        """The plan of its own that some feeds have, instrumented."""
        likes = tuple(map(_like, feeds)) if self._planner.optimize else None
        return self._planner.plan(likes, instrument)

    def _find(self, likes: tuple[Like | None, ...]) -> Plan:
        if not self._planner.optimize:
            return self.general
        if likes in self._by_shapes:
            self._by_shapes.move_to_end(likes)
            return self._by_shapes[likes]
        if len(self._by_shapes) == MAX_PLANS:
            if likes not in self._seen:
                self._seen[likes] = None
                if len(self._seen) > MAX_PLANS:
                    self._seen.popitem(last=False)
                return self.general
            self._by_shapes.popitem(last=False)
        self._by_shapes[likes] = self._planner.plan(likes)
        return self._by_shapes[likes]


def _like(feed: Any) -> Like | None:
    return (feed.shape, feed.dtype) if isinstance(feed, torch.Tensor) else None
