"""Puts nodes that oneDNN's library computes one after the other, and some others, into one."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from hetu.ir import Attribute, Graph, Node, Substitution, Value, dependencies, describe
from hetu.ops.registry import FUSED
from hetu.passes.build import make_with
from hetu.passes.facts import Facts, argument, is_fused, is_onnx
from hetu.passes.fusion import Note
from hetu.passes.groups import replace_groups
from hetu.types import FLOAT32, TensorType

_COMPUTED = (
    "Conv", "ConvTranspose", "Winograd", "PlusActivation", "PointwiseDepthwise", "Linear",
    "LinearPlus", "Pool", "ToBlocks", "FromBlocks", "ImageRows", "LayerNorm", "RMSNorm",
)  # fmt: skip

_RECORDED = (
    "Add", "Celu", "Concat", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "MatMul", "Mish", "Mul", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softmax",
    "Softplus", "Sqrt", "Sub", "Swish", "Tanh",
)  # fmt: skip
"""Operators that functions of torch compute on float32, which are recorded between the others."""

_OF_IMAGES = "Conv", "ConvTranspose", "FromBlocks", "PointwiseDepthwise", "Pool"

_VIEWS = (
    "Expand", "Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip

_IN_PLACE = ("ToBlocks", "ImageRows")
"""What is computed by the library, but where the result may be the input in another form."""


def makes_results(graph: Graph, facts: Facts) -> bool:
    """Whether all results of a graph are made by the library: each in memory of its own."""
    makers = [value and value.node for value in graph.outputs]
    return all(
        node is not None and _is_computed(node, facts) and node.op_type not in _IN_PLACE
        for node in makers
    )


def replays(graph: Graph, facts: Facts, weights: Collection[Value]) -> tuple[Graph, list[Note]]:
    """The graph with one `Replay` in the place of nodes that follow each other.

    Of the graph's inputs, `weights` stay as they are from run to run.
    """
    if not facts.is_inference or not facts.has_library:
        return graph, []
    if not any(node.domain == FUSED for node in graph.nodes):  # there may be very many others
        return graph, []
    walk = _Walk(facts)
    for node in graph.nodes:
        walk.take(node)
    groups = [nodes for nodes in walk.trimmed() if len(nodes) > 1]
    if not groups:
        return graph, []
    graph = replace(graph, nodes=tuple(walk.nodes))
    users = _users(graph)

    def join(nodes: Sequence[Node], values: Substitution) -> Sequence[Node]:
        made = {v: None for node in nodes for v in node.outputs if v is not None}
        used = dict.fromkeys(v for node in nodes for v in node.inputs if v is not None)
        taken = [v for v in used if v not in made and not _is_argument(v, nodes)]
        taken.sort(key=lambda value: _is_weight(value, weights))
        data = sum(not _is_weight(value, weights) for value in taken)
        results = [v for v in made if not users.get(v, set()) <= set(nodes)]
        body = Attribute("graph", _body(nodes, taken, results))
        inputs = [values[value] for value in taken]
        fresh = make_with("Replay", inputs, results, {"data": data, "body": body})
        for old, new in zip(results, fresh.outputs, strict=True):
            assert new is not None
            values[old] = new
        return [fresh]

    notes = [Note("replay", describe(nodes[0])) for nodes in groups]
    return replace_groups(graph, groups, join, facts), notes


class _Walk:
    """Puts nodes into groups: what is in the last of these grows while nodes can be recorded.

    What has nothing to do with a group comes before it. `nodes` are all in that order; `_made` is
    what the last group has made so far, `_floats` what all have made, and `_images` what of that is
    images or volumes.
    """

    def __init__(self, facts: Facts) -> None:
        self.nodes: list[Node] = []
        self._groups: list[list[Node]] = []
        self._facts = facts
        self._first = 0
        self._made: set[Value | None] = set()
        self._floats: set[Value | None] = set()
        self._images: set[Value | None] = set()

    def take(self, node: Node) -> None:
        """Put the next node where it belongs."""
        is_view = _is_view(node, self._facts) and node.inputs[0] in self._made
        if is_view or _is_computed(node, self._facts) or self._is_recorded(node):
            self._join(node, is_view)
        elif self._made.isdisjoint(dependencies(node)):
            self.nodes.insert(self._first, node)
            self._first += 1
        else:
            self._made.clear()
            self.nodes.append(node)
            self._first = len(self.nodes)

    def trimmed(self) -> list[list[Node]]:
        """The groups, without what ends them and is between nothing that the library computes."""
        for group in self._groups:
            while not _is_computed(group[-1], self._facts):
                group.pop()
        return self._groups

    def _join(self, node: Node, is_view: bool) -> None:
        """Put a node into the last group, or into a new one."""
        if not self._made:
            self._groups.append([])
            self._first = len(self.nodes)
        self.nodes.append(node)
        self._groups[-1].append(node)
        self._made.update(node.outputs)
        self._floats.update(node.outputs)
        if node.op_type in _OF_IMAGES or (not is_view and node.inputs[0] in self._images):
            self._images.update(node.outputs)

    def _is_recorded(self, node: Node) -> bool:
        """Whether a node computes on what the group has made, all of it in float32."""
        if is_fused(node, "ChannelAffine"):
            return node.inputs[0] in self._made and node.inputs[0] in self._images
        if not is_onnx(node, *_RECORDED) or self._made.isdisjoint(node.inputs):
            return False
        types = (self._facts.dtype(v) for v in node.inputs if v not in self._floats)
        return all(element is FLOAT32 for element in types)


def _users(graph: Graph) -> dict[Value, set[Node | None]]:
    """The nodes that use each value; None stands for the graph's end."""
    users: dict[Value, set[Node | None]] = {value: {None} for value in graph.outputs if value}
    for node in graph.nodes:
        for value in dependencies(node):
            users.setdefault(value, set()).add(node)
    return users


def _is_computed(node: Node, facts: Facts) -> bool:
    """Whether a node is the library's, or attention, which is torch's where that is faster."""
    if is_fused(node, "Attention"):
        return _is_attention(node, facts)
    return node.domain == FUSED and node.op_type in _COMPUTED


def _is_attention(node: Node, facts: Facts) -> bool:
    """Whether attention is of a form that is computed without further steps."""
    given = [value for value in node.inputs if value is not None]
    if any(facts.dtype(value) is not FLOAT32 for value in given):
        return False
    q, v = facts.shape(given[0]), facts.shape(given[2])
    return q is not None and v is not None and len(q) in (3, 4) and q[-1] == v[-1]


def _is_view(node: Node, facts: Facts) -> bool:
    """Whether a node only sees the same numbers in another shape, or some of them."""
    if is_fused(node, "Select"):
        return True
    if not is_onnx(node, *_VIEWS):
        return False
    if not all(value is None or value.constant for value in node.inputs[1:]):
        return False
    return node.op_type != "Slice" or not _goes_backwards(node)


def _goes_backwards(node: Node) -> bool:
    steps = argument(node, "steps")
    return steps is not None and min(steps) < 0


def _is_argument(value: Value, nodes: Sequence[Node]) -> bool:
    """Whether a constant only says what shape is meant."""
    return value.constant and all(is_onnx(n, *_VIEWS) for n in nodes if value in n.inputs)


def _is_weight(value: Value, weights: Collection[Value]) -> bool:
    return value.data is not None or value in weights


def _body(nodes: Sequence[Node], taken: Sequence[Value], results: Sequence[Value]) -> Graph:
    inputs = [Value(value.name, value.type or TensorType(FLOAT32)) for value in taken]
    values = Substitution(dict(zip(taken, inputs, strict=True)))
    copies = tuple(values.node(node) for node in nodes)
    return Graph(tuple(inputs), tuple(values[value] for value in results), copies)
