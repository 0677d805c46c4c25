"""What a graph goes through before it is compiled."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from hetu.ir import Graph, Substitution, Value
from hetu.ops.kinds import Context
from hetu.passes.fold import fold
from hetu.passes.inline import inline
from hetu.passes.missing import check_operators
from hetu.passes.watch import watched_values
from hetu.runtime.evaluate import evaluate


def prepare(graph: Graph, context: Context) -> Graph:
    """The copy of a graph that is compiled: without calls of functions, with constants folded.

    Raises `UnsupportedError`, which lists all, where it has operators that nothing can run.
    """
    check_operators(graph)
    graph = inline(graph)
    constants = partial(evaluate, contents={}, context=context)
    return fold(graph, constants, watched_values(graph))


def with_fed(graph: Graph, constants: Sequence[Value]) -> Graph:
    """The graph with some constants as further inputs, in their order: a run gives other values."""
    if not constants:
        return graph
    feeds = [Value(value.name, value.type) for value in constants]
    copy = Substitution(dict(zip(constants, feeds, strict=True))).graph(graph)
    return replace(copy, inputs=(*graph.inputs, *feeds))
