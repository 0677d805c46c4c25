"""Graph to Python source to function.

The source calls kernels in order and reuses a variable's name once its value is no longer needed.
Every identifier in it is generated here; names from a file appear nowhere.
"""

import linecache
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from hetu.errors import LimitError, ModelError, show
from hetu.ir import Attribute, Graph, Node, Value, captures, dependencies
from hetu.ops.kinds import Context
from hetu.ops.registry import Kernel
from hetu.passes.inline import MAX_NESTING
from hetu.runtime.bind import (
    Argument,
    Call,
    bind,
    is_constant,
    load_constant,
    may_be_widened,
)
from hetu.runtime.results import storages
from hetu.types import STRING, DType, ValueType, dtype

_numbers = count()

Instrument = Callable[[Node, Call], Callable[..., Any]]
"""Makes what is called for a node."""


@dataclass(slots=True)
class Source:
    """Generated source: `lines[i]` runs `nodes[i]`, if it runs a node, on `arguments[i]`."""

    filename: str
    lines: list[str] = field(default_factory=list)
    nodes: list[Node | None] = field(default_factory=list)
    arguments: list[Sequence[str]] = field(default_factory=list)

    def add(self, line: str, node: Node | None = None, arguments: Sequence[str] = ()) -> None:
        """Append a line."""
        self.lines.append(line)
        self.nodes.append(node)
        self.arguments.append(arguments)

    @property
    def text(self) -> str:
        """The whole text."""
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True, slots=True)
class CompiledBody:
    """A graph attribute, as kernels get it."""

    input_types: tuple[ValueType | None, ...]
    output_types: tuple[ValueType | None, ...]
    function: Callable[..., tuple[Any, ...]]

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """Run the graph."""
        return self.function(*inputs)

    def bind(self, *captured: Any) -> "CompiledBody":
        """The body with the outer values it uses filled in."""
        function = partial(self.function, *captured)
        return CompiledBody(self.input_types, self.output_types, function)


class Compiler:
    """Compiles a graph and all graphs inside it.

    `sources` holds what was generated, by file name, `constant_storages` where constants lie.
    `parameters` maps variables to their position in the list that the compiled function gets.
    `instrument` may put something around what nodes call.
    """

    def __init__(
        self,
        context: Context,
        parameters: Mapping[Value, int],
        instrument: Instrument | None = None,
    ) -> None:
        self.context = context
        self._instrument = instrument
        self.sources: dict[str, Source] = {}
        self.constant_storages: set[int] = set()
        self._parameters = parameters
        weakref.finalize(self, _forget, self.sources)

    def main(
        self, graph: Graph, computable: Collection[Value] = ()
    ) -> Callable[[Sequence[Any], Sequence[Any]], tuple[Any, ...]]:
        """The function `run(feeds, parameters) -> outputs` of a whole graph.

        The inputs `computable` are, whatever is said of them, of types that torch computes in.
        """
        leaves = {value: ("feed", "feeds", i) for i, value in enumerate(graph.inputs)}
        leaves |= {value: ("parameter", "parameters", i) for value, i in self._parameters.items()}
        widened = {v for v in leaves if may_be_widened(v.dtype) and v not in computable}
        names = {value: f"{name}{i}" for value, (name, _, i) in leaves.items()}
        elements = {value: f"{given}[{i}]" for value, (_, given, i) in leaves.items()}
        writer = _Writer(self, names, widened, 0)
        return self._write(graph, "run", ("feeds", "parameters"), writer, elements)

    def function(self, node: Node, call: Call) -> Callable[..., Any]:
        """What is called for a node."""
        return self._instrument(node, call) if self._instrument else call.function

    def body(
        self, graph: Graph, captured: Sequence[Value], widened: set[Value], depth: int
    ) -> CompiledBody:
        """A function of the captured values, then the graph's inputs."""
        if depth > MAX_NESTING:
            raise LimitError(f"graphs are nested more than {MAX_NESTING} deep")
        names = {value: f"x{i}" for i, value in enumerate((*captured, *graph.inputs))}
        arguments = tuple(names.values())
        writer = _Writer(self, names, widened, depth)
        function = self._write(graph, "body", arguments, writer)
        return CompiledBody(
            tuple(value.type for value in graph.inputs),
            tuple(value.type if value is not None else None for value in graph.outputs),
            function,
        )

    def _write(
        self,
        graph: Graph,
        name: str,
        arguments: Sequence[str],
        writer: "_Writer",
        elements: Mapping[Value, str] | None = None,
    ) -> Callable[..., tuple[Any, ...]]:
        source = writer.source
        source.add(f"def {name}({', '.join(arguments)}):")
        writer.write(graph, elements or {})
        self.sources[source.filename] = source
        text = source.text
        linecache.cache[source.filename] = (len(text), None, text.splitlines(True), source.filename)
        exec(compile(text, source.filename, "exec"), writer.namespace)
        return writer.namespace[name]


def _forget(sources: Mapping[str, Source]) -> None:
    """Tracebacks no longer show these sources."""
    for filename in sources:
        linecache.cache.pop(filename, None)


class _Writer:
    """Writes the source of one function, a line per node.

    `names` holds what each value is called at the moment, `widened` the values that may be of a
    type that torch cannot compute in.
    """

    def __init__(
        self, compiler: Compiler, names: dict[Value, str], widened: set[Value], depth: int
    ) -> None:
        self.source = Source(f"<hetu graph {next(_numbers)}>")
        self.namespace: dict[str, Any] = {}
        self.widened = widened
        self._compiler = compiler
        self._names = names
        self._depth = depth
        self._free: list[str] = []
        self._functions: dict[Callable[..., Any], str] = {}
        self._variables = count(sum(name.startswith("x") for name in names.values()))
        self._defined = count()

    def write(self, graph: Graph, elements: Mapping[Value, str]) -> None:
        """Write one line per node, and the return; `elements` is where named values are found."""
        last_uses = _last_uses(graph)
        dying: dict[Node, list[Value]] = {}
        for value, node in last_uses.items():
            dying.setdefault(node, []).append(value)
        used = {*last_uses, *(value for value in graph.outputs if value is not None)}
        for value, element in elements.items():
            if value in used:
                self.source.add(f"    {self._names[value]} = {element}")
        for node in graph.nodes:
            self._write_node(node, dying.get(node, ()), used)
        results = "".join(f"{self._name(value)}, " for value in graph.outputs)
        self.source.add(f"    return ({results})")

    def _write_node(self, node: Node, dying: Sequence[Value], used: set[Value]) -> None:
        call = self._call(node)
        arguments = [self._argument(argument) for argument in call.arguments]
        text = self._expression(node, call, arguments)
        released = [self._names.pop(v) for v in dying if self._names.get(v, "").startswith("x")]
        self._free.extend(released)
        outputs = [value if value in used else None for value in node.outputs]
        self.source.add(f"    {self._targets(outputs, call)}{text}", node, arguments)
        idle = [name for name in released if name in self._free]
        if idle:
            self.source.add(f"    del {', '.join(idle)}")

    def _expression(self, node: Node, call: Call, arguments: Sequence[str]) -> str:
        function = self._function(call.kernel, self._compiler.function(node, call))
        given = [
            f"latest({argument})" if index in call.buffers else argument
            for index, argument in enumerate(arguments)
        ]
        bodies = [f"{name}={self._bodies(graphs)}" for name, graphs in call.bodies.items()]
        text = f"{function}({', '.join((*given, *bodies))})"
        if call.buffers:
            context = self._compiler.context
            self.namespace["latest"] = partial(_latest, context)
            self.namespace["update"] = partial(_update, context)
            text = f"update({text}, {', '.join(arguments[index] for index in call.buffers)})"
        return text

    def _targets(self, outputs: Sequence[Value | None], call: Call) -> str:
        """The left side of an assignment; results that nothing uses are dropped at once."""
        targets = list(map(self._target, outputs))
        if call.returns == 1:
            return f"{targets[0]} = "
        return f"{', '.join(targets)}, *_ = "

    def _target(self, value: Value | None) -> str:
        if value is None:
            return "_"
        name = self._free.pop() if self._free else f"x{next(self._variables)}"
        self._names[value] = name
        return name

    def _call(self, node: Node) -> Call:
        is_widened = any(map(self._is_widened, dependencies(node)))
        call = bind(node, self._compiler.context, is_widened)
        if is_widened or _makes_widened(node, call.kernel):
            self.widened.update(
                v for v in node.outputs if v is not None and may_be_widened(v.dtype)
            )
        return call

    def _is_widened(self, value: Value) -> bool:
        return value in self.widened or (is_constant(value) and may_be_widened(value.dtype))

    def _bodies(self, graphs: Graph | tuple[Graph, ...]) -> str:
        if isinstance(graphs, Graph):
            return self._body(graphs)
        return f"({''.join(f'{self._body(graph)}, ' for graph in graphs)})"

    def _body(self, graph: Graph) -> str:
        captured = [value for value in captures(graph) if not is_constant(value)]
        widened = {value for value in captured if value in self.widened}
        widened.update(value for value in graph.inputs if may_be_widened(value.dtype))
        body = self._compiler.body(graph, captured, widened, self._depth + 1)
        name = self._define("body", body)
        return f"{name}.bind({', '.join(map(self._name, captured))})" if captured else name

    def _argument(self, argument: Argument) -> str:
        if argument.value is None:
            return self._literal(argument.fixed)
        if argument.convert is None:
            return self._name(argument.value)
        self.namespace[argument.convert.__name__] = argument.convert
        return f"{argument.convert.__name__}({self._name(argument.value)})"

    def _literal(self, fixed: Any) -> str:
        is_readable = fixed is None or isinstance(fixed, int) or _is_int_tuple(fixed)
        return repr(fixed) if is_readable else self._define("constant", fixed)

    def _name(self, value: Value | None) -> str:
        if value is None:
            return "None"
        if value not in self._names:
            if not is_constant(value):
                raise ModelError(f"{show(value.name)} is used where it has not been computed")
            self._names[value] = self._define("constant", self._constant(value))
        return self._names[value]

    def _constant(self, value: Value) -> Any:
        constant = load_constant(value, self._compiler.context.device)
        self._compiler.constant_storages |= storages([constant])
        return constant

    def _function(self, kernel: Kernel, function: Callable[..., Any]) -> str:
        """The name of what nodes call; those that call the same have one name for it."""
        if function not in self._functions:
            self._functions[function] = self._define(kernel.name, function)
        return self._functions[function]

    def _define(self, stem: str, target: Any) -> str:
        name = f"{stem}_{next(self._defined)}"
        self.namespace[name] = target
        return name


def _is_int_tuple(fixed: Any) -> bool:
    return isinstance(fixed, tuple) and all(isinstance(element, int) for element in fixed)


def _last_uses(graph: Graph) -> dict[Value, Node]:
    """The node that uses a value last, for each value that is not needed at the end."""
    uses = {value: node for node in graph.nodes for value in dependencies(node)}
    for value in graph.outputs:
        if value is not None:
            uses.pop(value, None)
    return uses


def _makes_widened(node: Node, kernel: Kernel) -> bool:
    """Whether a node may make a type that torch cannot compute in out of others."""
    if kernel.is_custom:
        return True
    for name, attribute in node.attributes.items():
        parameter = kernel.attributes.get(name)
        if parameter is None:
            continue
        if parameter.kind == "DType" and attribute.value and dtype(attribute.value).is_widened:
            return True
        if parameter.kind in ("Tensor", "Strs") and may_be_widened(_attribute_dtype(attribute)):
            return True
        if parameter.kind == "Body":
            return True
    return False


def _attribute_dtype(attribute: Attribute) -> DType | None:
    return STRING if attribute.kind == "strings" else attribute.value.dtype


def _latest(context: Context, buffer: Any) -> Any:
    """What a buffer holds after the nodes that ran before: several may share one."""
    return context.updates.get(id(buffer), (buffer, buffer))[1]


def _update(context: Context, results: tuple[Any, ...], *buffers: Any) -> tuple[Any, ...]:
    """Record the new values that a kernel returned after its outputs, and hand on the outputs."""
    updated = results[len(results) - len(buffers) :]
    for old, new in zip(buffers, updated, strict=True):
        context.updates[id(old)] = old, new.detach()
    return results[: len(results) - len(buffers)]
