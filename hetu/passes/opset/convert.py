"""Leads every node of a graph, and of the graphs inside it, to the versions wanted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from hetu.ir import (
    Attribute,
    Function,
    Graph,
    Namer,
    Node,
    Value,
    add_outputs,
    dependencies,
    describe,
    next_serial,
)
from hetu.passes.inline import expand
from hetu.passes.opset import rules  # noqa: F401 - registers the rules
from hetu.passes.opset.carry import in_known_types, lost_types
from hetu.passes.opset.derive import is_derivable, is_same_form, plain
from hetu.passes.opset.formals import assume_formals
from hetu.passes.opset.rewrite import InconvertibleError, Rewrite, as_outputs
from hetu.passes.opset.rule import Direction, find_rule
from hetu.passes.opset.schema import Schemas, Signature
from hetu.passes.opset.unused import unused_outputs, without_unused
from hetu.types import Dim, TensorType, short_domain

OLDEST_TARGET = 13
"""Rules lead down to this opset of ai.onnx and no further."""


_Taken = tuple[Sequence[Node], Sequence[Value | None]]
"""The nodes that take a node's place, and what its outputs are then."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A node that has no form in the version wanted: where, at which step, and why."""

    path: str
    step: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, {self.step}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Step:
    """From a node's version to the next; `new` is None where the operator does not exist there."""

    direction: Direction
    old: Signature
    new: Signature | None
    version: int
    is_free: bool = False
    """Whether the versions differ in nothing but the types that they take."""

    @property
    def since(self) -> int:
        """The newer of the two versions, which the step is named after."""
        return self.version if self.direction == "up" else self.old.since


@dataclass(slots=True)
class _Scope:
    """A graph under construction; `constants` become its initializers.

    `names` are those of the nodes that it had, and has again: ONNX Runtime wants them to differ.
    """

    path: str
    is_function: bool
    names: set[str]
    namer: Namer
    nodes: list[Node] = field(default_factory=list)
    constants: list[Value] = field(default_factory=list)

    def name(self, node: Node) -> str:
        """The node's own name where it is the first of that name that was there before."""
        if node.name in self.names:
            self.names.remove(node.name)
            return node.name
        return node.name and self.namer.unique(node.name)


class Conversion:
    """Converts graphs of one model to `targets`, opsets by domain; `failures` lists what cannot.

    Nodes are new where anything changes; a value that takes the place of another has its name.
    `functions` are those converted before.
    """

    def __init__(
        self,
        targets: Mapping[str, int],
        schemas: Schemas,
        functions: dict[Function, Function | None] | None = None,
    ) -> None:
        self._functions = {} if functions is None else functions
        self.failures: list[Failure] = []
        self._targets = targets
        self._schemas = schemas
        self._values: dict[Value | None, Value | None] = {}
        self._homes: dict[Value, _Scope] = {}
        self._unused: set[Value | None] = set()
        self._steps: dict[tuple[str, str, int], _Step | None] = {}

    def graph(self, graph: Graph) -> Graph:
        """The graph; constants that only its old nodes needed are gone."""
        self._unused = unused_outputs(graph)
        return without_unused(self._graph(graph, "", False), graph)

    def function(self, function: Function) -> Function | None:
        """A model-local function; its constants are nodes, as functions have no initializers.

        None where it has no form for any arguments: its calls are replaced by its nodes, which
        have one if types or attributes say enough there.
        """
        if function not in self._functions:
            inner = Conversion(self._targets, self._schemas, self._functions)
            converted = inner._function(function)
            self._functions[function] = None if inner.failures else converted
        return self._functions[function]

    def _function(self, function: Function) -> Function:
        self._unused = unused_outputs(function.body)
        body = without_unused(self._graph(function.body, "", True), function.body)
        opsets = {d: self._targets.get(d, version) for d, version in function.opsets.items()}
        return replace(function, body=body, opsets=opsets)

    def _graph(self, graph: Graph, path: str, is_function: bool) -> Graph:
        names = {node.name for node in graph.nodes}
        scope = _Scope(path, is_function, names, Namer(names))
        for node in graph.nodes:
            self._values.update(zip(node.outputs, self._convert(node, scope), strict=True))
        outputs = tuple(v and self._values.get(v, v) for v in graph.outputs)
        is_same = len(scope.nodes) == len(graph.nodes) and all(
            a is b for a, b in zip(scope.nodes, graph.nodes, strict=True)
        )
        if is_same and outputs == graph.outputs:
            return graph
        initializers = (*graph.initializers, *scope.constants)
        return replace(graph, nodes=tuple(scope.nodes), outputs=outputs, initializers=initializers)

    def _convert(self, node: Node, scope: _Scope) -> Sequence[Value | None]:
        """What takes the place of a node's outputs: the outputs themselves where it has no form."""
        try:
            return self._lead(node, node.outputs, scope)
        except InconvertibleError as error:
            path = f"{scope.path}{describe(node)}"
            self.failures.append(Failure(path, error.step, str(error)))
            return node.outputs

    def _lead(
        self, node: Node, names: Sequence[Value | None], scope: _Scope, is_made: bool = False
    ) -> Sequence[Value | None]:
        """Lead a node to its target; its last outputs are called after `names`."""
        node = self._over_new_inputs(node)
        taken = self._take(node, names, scope) or (self._fit(node) if is_made else None)
        if taken is None:
            return self._finish(node, names, scope)
        nodes, results = taken
        name_of = {result: name for result, name in zip(results, names, strict=False) if result}
        for made in nodes:
            outputs = self._lead(made, [v and name_of.get(v) for v in made.outputs], scope, True)
            self._values.update((a, b) for a, b in zip(made.outputs, outputs, strict=True) if a)
        kept = zip_longest(node.outputs, results[: len(node.outputs)])
        return [value and result and self._values[result] for value, result in kept]

    def _over_new_inputs(self, node: Node) -> Node:
        if not any(value in self._values for value in node.inputs):
            return node
        inputs = tuple(v and self._values.get(v, v) for v in node.inputs)
        return self._copy(node, node.outputs, inputs=inputs)

    def _next_step(self, node: Node) -> _Step | None:
        """The next step that changes more of a node than its version."""
        version = node.version
        while step := self._step(short_domain(node.domain), node.op_type, version):
            if not step.is_free or step.new is None or self._loses_types(node, step.old, step.new):
                return step
            version = step.version
        return None

    def _step(self, domain: str, op_type: str, version: int) -> _Step | None:
        key = domain, op_type, version
        if key not in self._steps:
            step = self._find_step(domain, op_type, version)
            self._steps[key] = step and replace(step, is_free=_is_free(domain, op_type, step))
        return self._steps[key]

    def _find_step(self, domain: str, op_type: str, version: int) -> _Step | None:
        target = self._targets.get(domain, version)
        versions = self._schemas.versions(domain, op_type)
        if target == version or not versions:
            return None
        reached = [signature for signature in versions if signature.since <= version]
        if not reached:
            raise InconvertibleError(f"the operator exists from opset {versions[0].since} on")
        if target > version:
            later = [s for s in versions if version < s.since <= target]
            return _Step("up", reached[-1], later[0], later[0].since) if later else None
        if reached[-1].since <= target:
            return None
        older = reached[-2] if len(reached) > 1 else None
        return _Step("down", reached[-1], older, reached[-1].since - 1)

    def _loses_types(self, node: Node, old: Signature, new: Signature) -> bool:
        return any(True for _ in lost_types(self._schemas, node, old, new))

    def _take(self, node: Node, names: Sequence[Value | None], scope: _Scope) -> _Taken | None:
        """What takes a node's place after one step; None where it has arrived."""
        if node.function is not None and node.function.local:
            has_form = self.function(node.function) is not None
            return None if has_form else self._expanded(node, node.function)
        step = self._next_step(node)
        return step and self._take_step(node, step, names, scope)

    def _fit(self, node: Node) -> _Taken | None:
        """What takes the place of a node that a rule made of types its version does not take."""
        domain = short_domain(node.domain)
        version = self._targets.get(domain, node.version)
        versions = self._schemas.versions(domain, node.op_type)
        reached = [signature for signature in versions if signature.since <= version]
        if not reached or not self._loses_types(node, versions[-1], reached[-1]):
            return None
        used = [value is not None for value in node.outputs]
        rewrite = self._rewrite(node, version, versions[-1], reached[-1], used)
        try:
            results = in_known_types(rewrite, node.inputs, rewrite.keep)
        except InconvertibleError as error:
            raise error.at(f"{node.op_type} {version}") from None
        results = rewrite.results(results)
        self._schemas.same(results, node.outputs)
        return rewrite.nodes, results

    def _rewrite(
        self,
        node: Node,
        version: int,
        old: Signature,
        new: Signature | None,
        used: Sequence[bool],
    ) -> Rewrite:
        return Rewrite(node, version, old, new, self._schemas, used, self._targets.get("", 0))

    def _expanded(self, node: Node, function: Function) -> _Taken:
        nodes, results = expand(node, function)
        nodes, version = list(nodes), function.opsets.get("", self._targets.get("", 0))
        results = as_outputs(results, nodes, version)
        return nodes, results

    def _take_step(
        self, node: Node, step: _Step, names: Sequence[Value | None], scope: _Scope
    ) -> _Taken:
        try:
            outputs = zip(node.outputs, names, strict=True)
            used = [v is not None and n not in self._unused for v, n in outputs]
            rewrite = self._rewrite(node, step.version, step.old, step.new, used)
            results = self._apply(rewrite, step)
        except InconvertibleError as error:
            body = self._schemas.body(node, step.version) if step.direction == "down" else None
            if body is None:
                raise error.at(_step_name(node, step)) from None
            return self._expanded(node, body)
        self._schemas.same(results, node.outputs)
        known = set(dependencies(node))
        for made in rewrite.nodes:
            for value in dependencies(made):
                if value.node is None and value.constant and value not in known:
                    self._homes.setdefault(value, scope)
        return rewrite.nodes, results

    def _apply(self, rewrite: Rewrite, step: _Step) -> Sequence[Value | None]:
        node = rewrite.node
        domain = short_domain(node.domain)
        rule = find_rule(step.direction, domain, node.op_type, step.since)
        if step.version < OLDEST_TARGET - 1 and domain == "" and step.direction == "down":
            rewrite.fail(f"conversion leads down to opset {OLDEST_TARGET} and no further")
        if step.new is None and rule is None:
            has_body = self._schemas.has_body(domain, node.op_type, step.old.since)
            hint = "; sizes of its inputs that are not known would tell more" if has_body else ""
            rewrite.fail(f"the operator exists from opset {step.since} on{hint}")
        new = step.new or step.old
        if rule is None and new.deprecated:
            rewrite.fail(f"the operator is deprecated from opset {step.since} of {domain} on")
        if rule is None and not is_derivable(domain, node.op_type, step.old, new):
            rewrite.fail("hetu has no rule for this step")
        results = (rule or plain)(rewrite)
        return rewrite.results(results)

    def _finish(
        self, node: Node, names: Sequence[Value | None], scope: _Scope
    ) -> Sequence[Value | None]:
        """Put a node that has arrived into the graph."""
        domain = short_domain(node.domain)
        version = self._targets.get(domain, node.version)
        attributes = {n: self._attribute(a, n, node, scope) for n, a in node.attributes.items()}
        is_same = all(attributes[n] is a for n, a in node.attributes.items())
        inputs = tuple(v and self._placed(v) for v in node.inputs)
        name = scope.name(node)
        if (
            version != node.version
            or not is_same
            or inputs != node.inputs
            or not _is_named(node, names)
        ):
            outputs = [
                v and (replace(v, name="") if old is None else old)
                for v, old in zip(node.outputs, names, strict=True)
            ]
            changes = {"version": version, "attributes": attributes, "inputs": inputs}
            node = self._copy(node, outputs, name=name, **changes)
        scope.nodes.append(node)
        return node.outputs

    def _placed(self, value: Value) -> Value:
        """A rule's constant as something that its graph holds."""
        scope = self._homes.pop(value, None)
        if scope is None:
            return self._values.get(value, value) or value
        if not scope.is_function:
            scope.constants.append(value)
            return value
        constant = Node(
            "Constant", (), {"value": Attribute("tensor", value.data)}, version=self._targets[""]
        )
        add_outputs(constant, [Value(type=value.type, node=constant)])
        scope.nodes.append(constant)
        self._values[value] = constant.outputs[0]
        return constant.outputs[0] or value

    def _attribute(self, attribute: Attribute, name: str, node: Node, scope: _Scope) -> Attribute:
        """An attribute with the graphs in it converted."""
        if attribute.kind not in ("graph", "graphs") or attribute.value is None:
            return attribute
        for body in (attribute.value,) if attribute.kind == "graph" else attribute.value:
            assume_formals(node, body, self._schemas)
        path = f"{scope.path}{describe(node)} {name} / "
        if attribute.kind == "graph":
            graph = self._graph(attribute.value, path, scope.is_function)
            if graph is attribute.value:
                return attribute
            if node.op_type == "Scan":
                graph = self._with_output_types(graph, attribute.value)
            return replace(attribute, value=graph)
        graphs = tuple(self._graph(g, path, scope.is_function) for g in attribute.value)
        return replace(attribute, value=graphs)

    def _copy(self, node: Node, outputs: Iterable[Value | None], **changes: object) -> Node:
        """The node with other fields and with outputs like those given."""
        copy = replace(node, **changes, serial=next_serial())
        made = [
            v and replace(v, node=copy, index=index, serial=next_serial())
            for index, v in enumerate(outputs)
        ]
        self._schemas.same(made, node.outputs)
        return add_outputs(copy, made)

    def _with_output_types(self, graph: Graph, original: Graph) -> Graph:
        """ONNX Runtime wants to know the ranks of what a scan carries, and cannot always tell."""
        pairs = zip(graph.outputs, original.outputs, strict=True)
        types = ((new, old and self._schemas.type_of(old)) for new, old in pairs)
        described = {
            value: replace(value, type=TensorType(known.dtype, _whole(known.shape)))
            for value, known in types
            if value is not None and value.shape is None and isinstance(known, TensorType)
        }
        return replace(graph, described={**graph.described, **described})


def _is_free(domain: str, op_type: str, step: _Step) -> bool:
    if step.new is None or find_rule(step.direction, domain, op_type, step.since):
        return False
    if step.direction == "down" and domain == "" and step.version < OLDEST_TARGET - 1:
        return False
    return is_derivable(domain, op_type, step.old, step.new) and is_same_form(step.old, step.new)


def _whole(shape: Sequence[Dim] | None) -> tuple[Dim, ...] | None:
    """A shape without names, which may mean something else around it."""
    return None if shape is None else tuple(d if isinstance(d, int) else None for d in shape)


def _is_named(node: Node, names: Sequence[Value | None]) -> bool:
    return all(value is name for value, name in zip(node.outputs, names, strict=True))


def _step_name(node: Node, step: _Step) -> str:
    """Two opsets between which an operator changes."""
    end = step.version if step.direction == "down" else step.since
    start = step.since if step.direction == "down" else step.since - 1
    return f"{node.op_type} {start} -> {end}"
