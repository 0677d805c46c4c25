"""Building a changed copy of a graph."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hetu.ir.graph import Attribute, Function, Graph, Node, Value, add_outputs, next_serial
from hetu.ir.walk import dependencies
from hetu.types import TensorType, ValueType


class Substitution:
    """A growing map from old values to the ones that take their place in a copy."""

    def __init__(self, values: Mapping[Value, Value] | None = None) -> None:
        self._values: dict[Value, Value | None] = dict(values or {})

    def __setitem__(self, old: Value, new: Value | None) -> None:
        """Let `new` stand for `old`; None: what uses it goes without."""
        self._values[old] = new

    def __getitem__(self, value: Value) -> Value:
        found = self._values.get(value)
        return value if found is None else found

    def optional(self, value: Value | None) -> Value | None:
        """The value's stand-in; None stays None."""
        return None if value is None else self._values.get(value, value)

    def node(self, node: Node, keeps_shapes: bool = True) -> Node:
        """The node over the substituted values: itself where nothing changed, else a new one.

        Without `keeps_shapes`, the outputs of a new one are of unknown shape.
        """
        if not self._values or self._values.keys().isdisjoint(dependencies(node)):
            return node
        attributes = with_graphs(node.attributes, self.graph)
        inputs = tuple(map(self.optional, node.inputs))
        return self.copy(node, inputs, attributes, keeps_shapes=keeps_shapes)

    def copy(
        self,
        node: Node,
        inputs: tuple[Value | None, ...],
        attributes: Mapping[str, Attribute],
        version: int | None = None,
        name: str | None = None,
        *,
        keeps_shapes: bool = True,
    ) -> Node:
        """A new node like `node`; from now on its outputs stand in for the old ones."""
        fresh = replace(
            node,
            inputs=inputs,
            attributes=attributes,
            version=node.version if version is None else version,
            name=node.name if name is None else name,
            function=self._function(node.function),
            serial=next_serial(),
        )
        outputs = [
            old
            and replace(
                old,
                node=fresh,
                type=old.type if keeps_shapes else _without_shape(old.type),
                serial=next_serial(),
            )
            for old in node.outputs
        ]
        self._values.update(
            (old, new)
            for old, new in zip(node.outputs, outputs, strict=True)
            if old is not None and new is not None
        )
        return add_outputs(fresh, outputs)

    def graph(self, graph: Graph, nodes: Iterable[Node] | None = None) -> Graph:
        """The graph over the substituted values; `nodes` are taken as they are where given."""
        copied = tuple(map(self.node, graph.nodes)) if nodes is None else tuple(nodes)
        return replace(graph, nodes=copied, outputs=tuple(map(self.optional, graph.outputs)))

    def _function(self, function: Function | None) -> Function | None:
        """What a node runs, over what stands for the values that it captures."""
        if function is None or not function.captured:
            return function
        captured = tuple(self[value] for value in function.captured)
        return replace(function, body=self.graph(function.body), captured=captured)


def with_graphs(
    attributes: Mapping[str, Attribute], rewrite: Callable[[Graph], Graph]
) -> dict[str, Attribute]:
    """The attributes, with what `rewrite` makes of them in the place of graphs."""
    return {name: _rewritten(attribute, rewrite) for name, attribute in attributes.items()}


def _rewritten(attribute: Attribute, rewrite: Callable[[Graph], Graph]) -> Attribute:
    if attribute.kind == "graph" and attribute.value is not None:
        return replace(attribute, value=rewrite(attribute.value))
    if attribute.kind == "graphs" and attribute.value is not None:
        return replace(attribute, value=tuple(map(rewrite, attribute.value)))
    return attribute


def remade(graph: Graph, change: Callable[[Value], Value]) -> Graph:
    """A copy of a graph, and of the graphs inside it, that shares no value with it.

    `change` gives the new value for each: what it returns for an output belongs to the copied node.
    """
    return _remade(graph, change, {})


def _remade(graph: Graph, change: Callable[[Value], Value], values: dict[Value, Value]) -> Graph:
    def find(value: Value | None) -> Value | None:
        return value and values.get(value, value)

    def inside(inner: Graph) -> Graph:
        return _remade(inner, change, values)

    for leaf in dict.fromkeys((*graph.inputs, *graph.initializers)):
        values[leaf] = replace(change(leaf), serial=next_serial())
    nodes = []
    for node in graph.nodes:
        attributes = with_graphs(node.attributes, inside)
        inputs = tuple(map(find, node.inputs))
        fresh = replace(node, inputs=inputs, attributes=attributes, serial=next_serial())
        values.update(
            (old, replace(change(old), node=fresh, serial=next_serial()))
            for old in node.outputs
            if old is not None
        )
        nodes.append(add_outputs(fresh, tuple(map(find, node.outputs))))
    return replace(
        graph,
        inputs=tuple(values[value] for value in graph.inputs),
        outputs=tuple(map(find, graph.outputs)),
        nodes=tuple(nodes),
        initializers=tuple(values[value] for value in graph.initializers),
        value_info=tuple(values.get(value) or change(value) for value in graph.value_info),
        described={values.get(value, value): said for value, said in graph.described.items()},
    )


def _without_shape(value_type: ValueType | None) -> ValueType | None:
    return replace(value_type, shape=None) if isinstance(value_type, TensorType) else value_type
