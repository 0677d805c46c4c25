"""A graph as something to call, for any device and mode."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from hetu.errors import UsageError
from hetu.ir import Graph, Value
from hetu.ops.kinds import Context
from hetu.passes.retype import retype
from hetu.passes.watch import watch
from hetu.runtime.compile import Compiler
from hetu.runtime.prepare import prepare
from hetu.runtime.specialize import Like, empty, specialize
from hetu.types import DType, TensorType


@dataclass(frozen=True, slots=True)
class Setting:
    """What a program is compiled for.

    `retyped` is an element type and the one in its place. `feeds` holds the shapes and types of the
    feeds, None for those that are no tensors, where only such are to be run.
    """

    device: torch.device
    training: bool
    retyped: tuple[DType, DType] | None = None
    feeds: tuple[Like | None, ...] | None = None

    def expected(self, value: Value) -> Value:
        """An input or a variable with the type that it has in this setting."""
        if self.retyped is None or not isinstance(value.type, TensorType):
            return value
        if value.dtype is not self.retyped[0]:
            return value
        return replace(value, type=replace(value.type, dtype=self.retyped[1]))


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program for one setting: `function(feeds, variables)` returns the outputs in a tuple.

    `context.updates` receives new running statistics.
    """

    context: Context
    inputs: tuple[Value, ...]
    function: Callable[[Sequence[Any], Sequence[Any]], tuple[Any, ...]]
    compiler: Compiler

    @property
    def source(self) -> str:
        """The Python source, the outermost function last."""
        return "\n\n".join(source.text for source in self.compiler.sources.values())


class Program:
    """A graph and what it was compiled to. `names` are its variables', in order.

    `latest` is what was compiled, or asked for, last: for training and for inference. A copy shares
    the graph and compiles anew.
    """

    def __init__(self, graph: Graph, names: Mapping[str, Value]) -> None:
        self.graph = graph
        self.names = names
        self.latest: dict[bool, Compiled] = {}
        self._positions = {value: i for i, value in enumerate(names.values())}
        self._compiled: dict[Setting, Compiled] = {}

    def __deepcopy__(self, memo: Any) -> "Program":
        return Program(self.graph, self.names)

    def __reduce__(self) -> Any:
        raise UsageError(
            "a module over a graph is not pickled; save its state_dict(), or the model that "
            "hetu.onnx.to_proto makes of it"
        )

    def compiled(self, setting: Setting) -> Compiled:
        """The program for a setting, compiled when it is first asked for."""
        if setting not in self._compiled:
            self._compiled[setting] = self._compile(setting)
        self.latest[setting.training] = self._compiled[setting]
        return self._compiled[setting]

    def _compile(self, setting: Setting) -> Compiled:
        context = Context(setting.training, device=setting.device)
        graph = self.graph if setting.retyped is None else retype(self.graph, *setting.retyped)
        graph = prepare(graph, context)
        if setting.feeds is not None:
            graph, _ = specialize(graph, self._empty(setting, setting.feeds))
        graph = watch(graph, is_differentiated=True)
        compiler = Compiler(context, self._positions)
        inputs = tuple(map(setting.expected, self.graph.inputs))
        return Compiled(context, inputs, compiler.main(graph), compiler)

    def _empty(self, setting: Setting, feeds: Sequence[Like | None]) -> dict[Value, torch.Tensor]:
        """Tensors without contents, like the feeds and the variables."""
        likes = dict(zip(self.graph.inputs, feeds, strict=True))
        for value in self.names.values():
            element = setting.expected(value).dtype
            likes[value] = (value.shape or (), element.torch) if element and element.torch else None
        return {value: empty(like) for value, like in likes.items() if like is not None}
