"""Convolutions of 3 x 3 with less than half of the multiplications, after Winograd.

They work on images in blocks of channels. Between them images stay so: pools, sums and
concatenations work on blocks, too.
"""

from collections.abc import Sequence

from hetu.ir import Graph, Node, Substitution, Value, dependencies, describe
from hetu.ops.fused.convolution import LIKE_SHAPE
from hetu.ops.native import BLOCK, suits_winograd
from hetu.passes.build import make, make_fused, output_of
from hetu.passes.convolutions import activation_of, packing_of
from hetu.passes.facts import Facts, argument, is_fused, is_onnx
from hetu.passes.fusion import Note
from hetu.passes.prune import prune


def blocks(graph: Graph, facts: Facts) -> tuple[Graph, list[Note]]:
    """The graph with Winograd's convolutions where they are faster."""
    if not (facts.is_inference and facts.has_library and facts.copies_weights):
        return graph, []
    suited = [node for node in graph.nodes if _suits(node, facts)]
    if not suited:
        return graph, []
    walk = _Walk(facts, suited)
    nodes = [new for node in graph.nodes for new in walk.nodes(node)]
    nodes += walk.images([value for value in graph.outputs if value is not None])
    changed = prune(walk.values.graph(graph, nodes))
    return changed, [Note("winograd", describe(node)) for node in suited]


def _suits(node: Node, facts: Facts) -> bool:
    packing = packing_of(node)
    if packing is None:
        return False
    shape, weight = facts.shape(node.inputs[0]), facts.shape(packing.inputs[0])
    pads = node.attributes["pads"].value
    windows = [*node.attributes["strides"].value, *node.attributes["dilations"].value]
    if shape is None or weight is None or weight[2:] != (3, 3) or len(shape) != 4:
        return False
    if set(windows) != {1} or node.attributes["group"].value != 1 or min(pads) < 0:
        return False
    return suits_winograd(shape, weight[0], pads)


class _Walk:
    """Makes the nodes of the new graph; `values` are images as they are, where there are such."""

    def __init__(self, facts: Facts, suited: Sequence[Node]) -> None:
        self.values = Substitution()
        self._facts = facts
        self._suited = dict.fromkeys(suited)
        self._wanted = {node.inputs[0] for node in suited}
        self._in_blocks: dict[Value, Value] = {}
        self._is_image: set[Value] = set()

    def nodes(self, node: Node) -> list[Node]:
        """What stands for a node of the old graph."""
        if node in self._suited:
            return self._winograd(node)
        if node.inputs and node.inputs[0] in self._in_blocks and is_fused(node, "Pool"):
            return self._keep(node, node.inputs[:1])
        if self._joins_blocks(node):
            return self._keep(node, node.inputs)
        made = self.images(dependencies(node))
        return [*made, self._facts.follow(node, self.values.node(node))]

    def images(self, values: Sequence[Value]) -> list[Node]:
        """What makes images of values that are there in blocks alone."""
        made: list[Node] = []
        for value in values:
            if value in self._in_blocks and value not in self._is_image:
                fresh = make_fused("FromBlocks", [self._in_blocks[value]], value)
                self._note_image(value, output_of(fresh))
                made.append(fresh)
        return made

    def _note_image(self, value: Value, image: Value) -> None:
        self._is_image.add(value)
        self.values[value] = image
        self._facts.carry(value, image)

    def _to_blocks(self, value: Value, made: list[Node]) -> Value:
        """An image in blocks; `made` grows by the node that makes it."""
        if value not in self._in_blocks:
            made.append(make_fused("ToBlocks", [self.values[value]]))
            self._in_blocks[value] = output_of(made[-1])
            self._is_image.add(value)
        return self._in_blocks[value]

    def _keep(self, node: Node, images: Sequence[Value | None]) -> list[Node]:
        """The node on images in blocks."""
        made: list[Node] = []
        inputs = [self._to_blocks(image, made) for image in images if image is not None]
        place = {"domain": node.domain, "version": node.version}
        return self._end(node, [*made, make(node.op_type, inputs, None, node.attributes, **place)])

    def _end(self, node: Node, made: list[Node]) -> list[Node]:
        """The nodes, the last of which makes the node's result in blocks."""
        self._in_blocks[output_of(node)] = output_of(made[-1])
        return made

    def _winograd(self, node: Node) -> list[Node]:
        packing = packing_of(node)
        image, _, bias, other = (*node.inputs, None, None)[:4]
        assert packing is not None and image is not None
        made: list[Node] = []
        x = self._to_blocks(image, made)
        pads, activation = node.attributes["pads"], activation_of(node)
        weight = self.values.optional(packing.inputs[0])
        like = {"pads": pads, LIKE_SHAPE: self._facts.shape(image)}
        packed = make_fused("PackWinograd", [weight], None, like)
        is_relu = "activation" in activation and activation["activation"].value == "Relu"
        in_step = activation if other is None and is_relu else {}
        inputs = [x, output_of(packed), self.values.optional(bias)]
        made += [packed, make_fused("Winograd", inputs, None, {"pads": pads, **in_step})]
        if other is not None or activation != in_step:
            summands = [output_of(made[-1])]
            if other is not None:
                summands.append(self._to_blocks(other, made))
            made.append(make_fused("PlusActivation", summands, None, activation))
        return self._end(node, made)

    def _joins_blocks(self, node: Node) -> bool:
        """Whether a node puts channels together for a convolution of these."""
        if not is_onnx(node, "Concat") or node.outputs[0] not in self._wanted:
            return False
        if argument(node, "axis") != 1 or not self._in_blocks.keys() & set(node.inputs):
            return False
        shapes = [self._facts.shape(value) for value in node.inputs]
        return all(shape is not None and shape[1] % BLOCK == 0 for shape in shapes)
