"""One named set of values to evaluate: planned once, run many times."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from operator import attrgetter
from typing import Any

import torch

from hetu.errors import UsageError, show
from hetu.ir import Value, graph_of, graph_values
from hetu.ops.kinds import Context
from hetu.passes.fusion import Explanation
from hetu.passes.watch import derivatives
from hetu.runtime.engine import EngineRunner, find_engine
from hetu.runtime.failure import explain
from hetu.runtime.feeds import convert_feed
from hetu.runtime.params import ParameterStore
from hetu.runtime.plan import Plan, Planner, Plans
from hetu.runtime.precision import Precision, are_finite
from hetu.runtime.prepare import with_fed
from hetu.runtime.prepared import Preparer
from hetu.runtime.profile import Profile
from hetu.runtime.recorder import Recorder, restored
from hetu.runtime.results import as_declared, independent, storages
from hetu.runtime.route import Route
from hetu.runtime.update import FeedSource, Update

Evaluated = Value | Update
_Setting = tuple[bool | None, tuple[Value, ...]]


class SubExecutor:
    """Evaluates some values and carries out updates, over the parameters of an executor.

    `inference` is True where dropout and batch statistics are off, None where each node does as the
    file says.
    """

    def __init__(
        self,
        name: str,
        evaluated: Sequence[Evaluated],
        store: ParameterStore,
        device: torch.device,
        generator: torch.Generator,
        inference: bool | None,
        precision: Precision,
        preparer: Preparer,
        optimize: bool = True,
        compiles: bool = False,
        backend: str | None = None,
    ) -> None:
        self.name = name
        self.evaluated = list(evaluated)
        self.inference = inference
        self._store = store
        self._precision = precision
        self._context = Context(generator=generator, device=device, sparse=True)
        self._outputs = [item for item in evaluated if isinstance(item, Value)]
        self._updates = [item for item in evaluated if isinstance(item, Update)]
        wanted = [*self._outputs, *(v for update in self._updates for v in update.needed)]
        self.graph = graph_of(wanted, name)
        self._preparer = preparer
        self._optimize = optimize
        self._compiles = compiles
        self._runner = self._make_runner(backend)
        self._plans: dict[_Setting, Plans] = {}
        self._routes: dict[tuple[Any, ...], Route] = {}

    @property
    def feeds(self) -> tuple[Value, ...]:
        """The values that have to be fed, those with a source of their own left out."""
        return tuple(v for v in self.graph.inputs if not isinstance(v, FeedSource))

    @property
    def sources(self) -> tuple[FeedSource, ...]:
        """The feeds that supply themselves: data loaders."""
        return tuple(value for value in self.graph.inputs if isinstance(value, FeedSource))

    @property
    def seeded(self) -> Mapping[int, torch.Generator]:
        """The generators of nodes with a seed of their own."""
        return self._context.seeded

    def generator_of(self, seed: int) -> torch.Generator:
        """The generator of nodes with this seed."""
        generator = self._context.generator_of(seed)
        assert generator is not None
        return generator

    @property
    def batch_num(self) -> int | None:
        """How many batches the data loaders of this subgraph have; None without any."""
        counts = [source.batch_count(self.name) for source in self.sources]
        return min(counts) if counts else None

    def run(
        self, feed_dict: Mapping[Value | str, Any], inference: bool | None, advance: bool = True
    ) -> list[Any]:
        """Evaluate once; the results are as the graph computes them, None for updates."""
        if self._runner is not None and inference is True:
            return self._run_in_engine(self._runner, self._by_value(feed_dict), advance)
        plan, feeds, parameters = self._ready(feed_dict, inference, advance)
        prepared = plan.preparation
        self._preparer.update(prepared, parameters)
        results = self._execute(plan, [*feeds, *prepared.tensors], parameters)
        values = self._values(results, plan, feeds)
        if self._updates or self._context.updates:
            self._apply(results[len(self._outputs) :])
        if inference is False:
            self._store.count_run(self.graph.initializers)
        if not self._updates:
            return values
        rest = iter(values)
        return [None if isinstance(item, Update) else next(rest) for item in self.evaluated]

    def profile(
        self, feed_dict: Mapping[Value | str, Any], inference: bool | None, runs: int
    ) -> Profile:
        """Measure some runs, which change nothing."""
        if self._runner is not None and inference is True:
            raise UsageError(
                f"{self.name} runs in {self._runner.backend}, whose nodes are not hetu's; leave "
                "out backend= to profile it on torch"
            )
        plans, feeds, parameters = self._start(feed_dict, inference, False)
        recorder = Recorder(self._context.device)
        plan = plans.instrumented(feeds, recorder.instrument)
        self._preparer.update(plan.preparation, parameters)
        given = [*feeds, *plan.preparation.tensors]
        with restored(self._context):
            return recorder.measure(lambda: self._execute(plan, given, parameters), runs)

    def _ready(
        self, feed_dict: Mapping[Value | str, Any], inference: bool | None, advance: bool
    ) -> tuple[Plan, list[Any], list[Any]]:
        """What a run needs: its plan, the feeds and the parameters."""
        keys = (inference, *feed_dict)
        found = self._routes[keys].find(feed_dict) if keys in self._routes else None
        if found is not None:
            self._enter(inference)
            return *found, self._store.tensors
        plans, feeds, parameters = self._start(feed_dict, inference, advance)
        plan = plans.find(feeds)
        if keys in self._routes:
            self._routes[keys].take(feed_dict, feeds, plan)
        return plan, feeds, parameters

    def _enter(self, inference: bool | None) -> None:
        """Let nodes run in a mode."""
        self._context.training = None if inference is None else not inference

    def _start(
        self, feed_dict: Mapping[Value | str, Any], inference: bool | None, advance: bool
    ) -> tuple[Plans, list[Any], list[Any]]:
        """The plans to choose from, the feeds and the parameters."""
        self._enter(inference)
        keys = (inference, *feed_dict)
        if keys in self._routes:
            route = self._routes[keys]
            feeds = [self._feed(value, feed_dict[key]) for value, key in route.order]
            return route.plans, feeds, self._store.tensors
        given = self._by_value(feed_dict)
        constants = [value for value in given if value.constant]
        overridden = tuple(sorted(constants, key=attrgetter("serial")))
        plans = self._plans_for(inference, overridden)
        if given.keys() == set(self.graph.inputs) and len(given) == len(feed_dict):
            key_of = dict(zip(given, feed_dict, strict=True))
            order = [(value, key_of[value]) for value in self.graph.inputs]
            self._routes[keys] = Route(plans, order)
        return plans, *self._collect(given, overridden, advance)

    def _execute(self, plan: Plan, feeds: list[Any], parameters: list[Any]) -> tuple[Any, ...]:
        """What the graph computes; an error names the node that failed."""
        self._context.updates.clear()
        self._context.overflows.clear()
        try:
            with torch.set_grad_enabled(plan.differentiates):
                if self._precision.dtype is None:
                    return plan.function(feeds, parameters)
                with self._autocast():
                    return plan.function(feeds, parameters)
        except Exception as error:
            raise explain(error, plan.compiler.sources) from error

    def _autocast(self) -> AbstractContextManager[Any]:
        scale = self._precision.loss_scale
        self._context.loss_scale = scale and scale.scale
        return self._precision.autocast(self._context.device, self.graph.initializers)

    def _values(self, results: Sequence[Any], plan: Plan, feeds: Sequence[Any]) -> list[Any]:
        """The results that belong to the caller, in the types that the graph states."""
        results = results[: len(self._outputs)]
        if plan.makes_results:
            return list(results)
        if plan.differentiates or self._precision.dtype is not None:
            raised = map(self._precision.restored, results, self._outputs)
            results = tuple(map(as_declared, raised, self._outputs))
        shared = (
            storages(feeds), self._store.storages, plan.preparation.storages,
            plan.compiler.constant_storages,
        )  # fmt: skip
        return [independent(result, *shared) for result in results]

    def _make_runner(self, backend: str | None) -> EngineRunner | None:
        """What runs this subgraph in another engine; None where it is one that trains."""
        if backend is None or self._updates or derivatives(self.graph):
            return None
        engine = find_engine(backend, self._context.device)
        return EngineRunner(backend, engine, self.graph, self._store)

    def _run_in_engine(
        self, runner: EngineRunner, given: dict[Value, Any], advance: bool
    ) -> list[Any]:
        fed = tuple(value for value in self.graph.initializers if value in given)
        feeds, _ = self._collect(given, fed, advance)
        return runner.run(fed, feeds)

    def source(self, inference: bool | None) -> str:
        """The Python source that runs the graph and all graphs in it, the outermost last."""
        sources = self._plans_for(inference, ()).latest.compiler.sources
        return "\n\n".join(source.text for source in sources.values())

    def explain(self, inference: bool | None) -> Explanation:
        """What passes made of the graph, in the plan that ran last."""
        return Explanation(self._plans_for(inference, ()).latest.notes)

    def _apply(self, results: Sequence[Any]) -> None:
        self._store.replace(self._context.updates.values())
        is_finite = self._take_note()
        start = 0
        for update in self._updates:
            count = len(update.needed)
            if is_finite or not update.trains:
                update.apply(self._store, results[start : start + count])
            start += count

    def _take_note(self) -> bool:
        """Whether the gradients are finite, where losses are scaled; adapts the scale if not."""
        scale = self._precision.loss_scale
        if scale is None or not any(update.trains for update in self._updates):
            return True
        is_finite = are_finite(self._context.overflows)
        scale.update(is_finite)
        return is_finite

    def _plans_for(self, inference: bool | None, overridden: tuple[Value, ...]) -> Plans:
        """The plans of a mode in which the constants `overridden` are fed after the other feeds."""
        self._enter(inference)
        if (inference, overridden) not in self._plans:
            graph = with_fed(self.graph, overridden)
            planner = Planner(
                graph, self._context, self._store, self._preparer, self._optimize, self._compiles
            )
            self._plans[inference, overridden] = Plans(planner)
        return self._plans[inference, overridden]

    def _collect(
        self, given: dict[Value, Any], overridden: Sequence[Value], advance: bool
    ) -> tuple[list[Any], list[Any]]:
        """The feeds in the graph's order, and the parameters with what the feeds override."""
        feeds = []
        for value in self.graph.inputs:
            if value in given:
                feeds.append(self._feed(value, given.pop(value)))
            elif isinstance(value, FeedSource):
                feeds.append(self._feed(value, value.next_batch(self.name, advance)))
            else:
                raise UsageError(
                    f"{self.name}: {show(value.name)} ({value.type or 'any type'}) is not fed"
                )
        feeds += [self._feed(value, given.pop(value)) for value in overridden]
        if not given:
            return feeds, self._store.tensors
        parameters = list(self._store.tensors)
        for value, content in given.items():
            parameters[self._store.positions[value]] = self._feed(value, content)
        return feeds, parameters

    def _by_value(self, feed_dict: Mapping[Value | str, Any]) -> dict[Value, Any]:
        names = self._names
        unused = self._unused_inputs
        given = {}
        for key, content in feed_dict.items():
            if key in unused:
                continue
            value = names.get(key) if isinstance(key, str) else key
            if value is None or not (value in self._store or value in self._feedable):
                known = ", ".join(show(value.name) for value in self.feeds) or "nothing"
                label = key if isinstance(key, str) else getattr(key, "name", key)
                raise UsageError(
                    f"{self.name}: {show(label)} is no feed of this graph; it takes {known}"
                )
            given[value] = content
        return given

    @cached_property
    def _feedable(self) -> frozenset[Value]:
        """The feeds, and the constants, which a feed may override."""
        constants = (value for value in self.graph.initializers if value.constant)
        return frozenset((*self.graph.inputs, *constants))

    @cached_property
    def _names(self) -> dict[str, Value]:
        names = {value.name: value for value in self._feedable if value.name}
        names |= {value.name: value for value in self.graph.inputs}
        return {name: v for name, v in self._store.names.items() if name not in names} | names

    @cached_property
    def _unused_inputs(self) -> set[Value | str]:
        """The inputs of loaded models that nothing here needs: they may be fed all the same."""
        models = {value.model for value in graph_values(self.graph) if value.model is not None}
        inputs = (value for model in models if model.graph for value in model.graph.inputs)
        needed = {*self.graph.inputs, *self.graph.initializers}
        unused = {value for value in inputs if value not in needed}
        return {*unused, *(value.name for value in unused)}

    def _feed(self, value: Value, content: Any) -> Any:
        return convert_feed(value, content, self._context.device)
