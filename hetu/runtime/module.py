"""A graph as a `torch.nn.Module`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from hetu.convert import copied, to_numpy
from hetu.errors import UsageError, show
from hetu.ir import Recipe, Value, graph_between
from hetu.passes.watch import gradient_nodes
from hetu.runtime.failure import explain
from hetu.runtime.feeds import convert_feed
from hetu.runtime.params import ParameterStore
from hetu.runtime.program import Compiled, Program, Setting
from hetu.runtime.results import independent
from hetu.runtime.specialize import Like
from hetu.types import DType, OptionalType, dtype


class Scope(nn.Module):
    """Holds the variables whose names share what comes before a dot."""


class GraphModule(Scope):
    """Computes `outputs` from `inputs`; the keys of its `state_dict` are the variables' names.

    Trainable variables are parameters, the others buffers; their values are copies. Calls take the
    inputs in order or by name, as tensors, which go to the module's device, or as whatever else an
    executor accepts. They return the only output, or a tuple. In training mode dropout and batch
    statistics are on and running statistics move; random operators draw from torch's generator.
    """

    def __init__(self, inputs: Sequence[Value], outputs: Sequence[Value], store: "Store") -> None:
        super().__init__()
        graph = graph_between(inputs, outputs)
        if gradient_nodes(graph):
            raise UsageError("a module takes no gradients inside; call torch.autograd on it")
        variables = {value for value in graph.initializers if not value.constant}
        names = {name: value for name, value in store.names.items() if value in variables}
        self._program = Program(graph, names)
        for name, value in names.items():
            self._register(name, copied(store[value]), value.trainable)

    @property
    def inputs(self) -> list[Value]:
        """The inputs, in the order that calls take them in."""
        return list(self._program.graph.inputs)

    @property
    def outputs(self) -> list[Value]:
        """The outputs, in the order that calls return them in."""
        return [value for value in self._program.graph.outputs if value is not None]

    @property
    def store(self) -> "ModuleStore":
        """The current values of the variables, as exports take them from executors."""
        return ModuleStore(self._program.names, self._tensors())

    def source(self) -> str:
        """The Python source that runs in the present mode."""
        return self._compiled(_device(self._tensors()), self.training, None).source

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Run the graph. Raises `UsageError` for inputs that do not fit."""
        contents = self._contents(inputs, named)
        tensors = self._tensors()
        compiled = self._compiled(_device((*tensors, *contents)), self.training, _likes(contents))
        if torch.compiler.is_compiling():
            # Tracers follow what attributes lead to, not what such calls return.
            compiled = self._program.latest[self.training]
        pairs = zip(compiled.inputs, contents, strict=True)
        feeds = [convert_feed(value, content, compiled.context.device) for value, content in pairs]
        compiled.context.updates.clear()
        try:
            results = compiled.function(feeds, tensors)
        except Exception as error:
            raise explain(error, compiled.compiler.sources) from error
        for old, new in compiled.context.updates.values():
            if any(old is tensor for tensor in tensors if not tensor.requires_grad):
                old.copy_(new)
        if not torch.compiler.is_compiling():
            constants = compiled.compiler.constant_storages
            results = tuple(independent(result, constants) for result in results)
        return results[0] if len(results) == 1 else results

    def _register(self, name: str, tensor: torch.Tensor, trainable: bool) -> None:
        """Put a tensor where its name says.

        ONNX allows names that `register_parameter` refuses: empty parts, and a tensor `a` beside a
        tensor `a.b`. The dicts behind it, which `state_dict` walks through, hold them all.
        """
        *path, leaf = name.split(".")
        scope: nn.Module = self
        for part in path:
            scope = scope._modules.setdefault(part, Scope())  # pyright: ignore
        if trainable and tensor.is_floating_point():
            scope._parameters[leaf] = nn.Parameter(tensor)
        else:
            scope._buffers[leaf] = tensor

    def _tensors(self) -> list[torch.Tensor]:
        return [self._tensor(name) for name in self._program.names]

    def _tensor(self, name: str) -> torch.Tensor:
        """What stands under a name now: torch may have put something else there."""
        *path, leaf = name.split(".")
        scope: Any = self
        for part in path:
            scope = scope._modules[part]
        for held in (scope._parameters, scope._buffers):
            if leaf in held:
                return held[leaf]
        return getattr(scope, leaf)  # a parametrization

    def _compiled(
        self, device: torch.device, training: bool, feeds: tuple[Like | None, ...] | None
    ) -> Compiled:
        return self._program.compiled(Setting(device, training, self._retyped(), feeds))

    # torch.compiler.assume_constant_result does this, and imports torch's compiler: 2 seconds
    _compiled._dynamo_marked_constant = True  # pyright: ignore[reportFunctionMemberAccess]

    def _retyped(self) -> tuple[DType, DType] | None:
        """The type that `double` or `half` has put in the place of another one."""
        for name, value in self._program.names.items():
            now = dtype(self._tensor(name).dtype)
            if value.dtype is not None and now is not value.dtype:
                return value.dtype, now
        return None

    def _contents(self, inputs: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """What is given for each input."""
        expected = self._program.graph.inputs
        known = [value.name for value in expected]
        if len(inputs) > len(known):
            raise UsageError(f"{len(inputs)} inputs; the module takes {len(known)}")
        given = dict(enumerate(inputs))
        for name, content in named.items():
            index = known.index(name) if name in known else None
            if index is None or index in given:
                problem = "is no input of the module" if index is None else "is given twice"
                raise UsageError(f"{show(name)} {problem}; it takes {', '.join(map(show, known))}")
            given[index] = content
        for index, value in enumerate(expected):
            if index not in given and not isinstance(value.type, OptionalType):
                raise UsageError(f"input {show(value.name)} ({value.type or 'any'}) is missing")
        return [given.get(index) for index in range(len(known))]


def _device(values: Sequence[Any]) -> torch.device:
    for value in values:
        if isinstance(value, torch.Tensor):
            return value.device
    return torch.device("cpu")


def _likes(contents: Sequence[Any]) -> tuple[Like | None, ...] | None:
    """The shapes and types that a tracer is to make a program for; None where nothing traces.

    A tracer may hold a size open; `range` makes it settle on one.
    """
    if not torch.compiler.is_compiling():
        return None
    return tuple(
        (tuple(len(range(size)) for size in content.shape), content.dtype)
        if isinstance(content, torch.Tensor)
        else None
        for content in contents
    )


class ModuleStore:
    """The values of a module's variables, in the types that the graph has them in."""

    def __init__(self, names: Mapping[str, Value], tensors: Sequence[torch.Tensor]) -> None:
        self.names = names
        self._tensors = dict(zip(names.values(), tensors, strict=True))

    def __contains__(self, value: Value) -> bool:
        return value in self._tensors

    def __getitem__(self, value: Value) -> torch.Tensor:
        tensor = self._tensors[value].detach()
        return tensor if value.dtype is None else tensor.to(value.dtype.torch)

    def is_changed(self, value: Value) -> bool:
        """Whether the value differs from the graph's own data."""
        data = value.data
        return isinstance(data, Recipe) or not np.array_equal(to_numpy(self[value]), data.array)  # pyright: ignore


Store = ParameterStore | ModuleStore
