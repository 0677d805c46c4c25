"""Calls of control flow. Bodies only use operators whose form never changed."""

import numpy as np
import onnx
from onnx import helper

from tests.support.examples import Call, Random, example

FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL


def value(name: str, dims: list[int | str | None], element: int = FLOAT) -> onnx.ValueInfoProto:
    """A tensor's name and type."""
    return helper.make_tensor_value_info(name, element, dims)


def constant(name: str, array: np.ndarray) -> onnx.NodeProto:
    """A node that makes a tensor."""
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array))


@example("If")
def if_(random: Random, version: int) -> Call:
    shape = random.shape(2)

    def branch(name: str) -> onnx.GraphProto:
        nodes = [constant(name, random.floats(*shape)), constant(f"{name}2", random.integers(3))]
        outputs = [value(name, list(shape)), value(f"{name}2", [3], INT64)]
        return helper.make_graph(nodes, name, [], outputs)

    attributes = {"then_branch": branch("then"), "else_branch": branch("else")}
    return Call([np.asarray(random.choice(True, False))], attributes, outputs=2)


@example("Loop")
def loop(random: Random, version: int) -> Call:
    """Products of matrices; what is carried is scanned too.

    ONNX Runtime obeys the body's condition even where the node has none and the specification says
    that it is ignored; there it stays true here.
    """
    size = random.integer(1, 4)
    state = random.floats(size, size, low=-1, high=1)
    condition = random.choice(None, np.asarray(True), np.asarray(random.choice(True, False)))
    nodes = [
        constant("factor", random.floats(size, size, low=-1, high=1)),
        constant("still", np.asarray(condition is None or random.choice(True, False))),
        helper.make_node("MatMul", ["before", "factor"], ["after"]),
        helper.make_node("Identity", ["still"], ["going"]),
        helper.make_node("Identity", ["number"], ["number_out"]),
        helper.make_node("MatMul", ["after", "before"], ["scanned"]),
    ]
    inputs = [
        value("number", [], INT64), value("condition", [], BOOL), value("before", [size, size])
    ]  # fmt: skip
    outputs = [
        value("going", [], BOOL), value("after", [size, size]), value("number_out", [], INT64),
        value("scanned", [size, size]),
    ]  # fmt: skip
    body = helper.make_graph(nodes, "body", inputs, outputs)
    trips = np.asarray(random.integer(0, 4), dtype=np.int64)
    return Call([trips, condition, state], {"body": body}, outputs=3)


@example("Scan")
def scan(random: Random, version: int) -> Call:
    """A recurrence of one state and two scanned inputs, with two scan outputs."""
    size, length, width = random.integer(1, 4), random.integer(1, 4), random.integer(1, 3)
    nodes = [
        constant("weight", random.floats(size, size, low=-1, high=1)),
        helper.make_node("MatMul", ["before", "weight"], ["mixed"]),
        helper.make_node("Sum", ["mixed", "first"], ["summed"]),
        helper.make_node("Tanh", ["summed"], ["after"]),
        helper.make_node("MatMul", ["after", "second"], ["out_second"]),
        helper.make_node("Identity", ["after"], ["out_first"]),
    ]
    inputs = [value("before", [2, size]), value("first", [2, size]), value("second", [size, width])]
    outputs = [
        value("after", [2, size]), value("out_first", [2, size]), value("out_second", [2, width])
    ]  # fmt: skip
    body = helper.make_graph(nodes, "body", inputs, outputs)
    shapes = [(2, size), (2, size), (size, width)]
    attributes = {"body": body, "num_scan_inputs": 2}
    flags = [random.integer(0, 1), random.integer(0, 1)]
    if version < 9:
        return _scan_8(random, attributes, shapes, length, flags)
    axes = [random.integer(-3, 2), random.integer(-3, 2)]
    output_axes = [random.integer(-3, 2), random.integer(-3, 2)]
    attributes |= random.choice({}, {"scan_input_directions": flags})
    attributes |= random.choice({}, {"scan_output_directions": flags[::-1]})
    attributes |= random.choice({}, {"scan_output_axes": output_axes})
    is_moved = random.choice(True, False)
    if is_moved:
        attributes["scan_input_axes"] = axes
    scanned = [
        np.moveaxis(random.floats(length, *shape), 0, axis if is_moved else 0)
        for shape, axis in zip(shapes[1:], axes, strict=True)
    ]
    return Call([random.floats(*shapes[0]), *scanned], attributes, outputs=3)


def _scan_8(
    random: Random,
    attributes: dict[str, object],
    shapes: list[tuple[int, ...]],
    length: int,
    flags: list[int],
) -> Call:
    batch = random.integer(1, 3)
    lengths = random.integers(batch, low=1, high=length)
    state = random.floats(batch, *shapes[0])
    scanned = [random.floats(batch, length, *shape) for shape in shapes[1:]]
    attributes |= random.choice({}, {"directions": flags})
    return Call([random.choice(None, lengths), state, *scanned], attributes, outputs=3)


@example("SequenceMap")
def sequence_map(random: Random, version: int) -> Call:
    size = random.integer(1, 3)
    nodes = [
        helper.make_node("MatMul", ["element", "other"], ["product"]),
        helper.make_node("Identity", ["element"], ["same"]),
    ]
    inputs = [value("element", [None, size]), value("other", [size, None])]
    outputs = [value("product", [None, None]), value("same", [None, size])]
    body = helper.make_graph(nodes, "body", inputs, outputs)
    count = random.integer(1, 3)
    elements = [random.floats(random.integer(1, 3), size) for _ in range(count)]
    others = [random.floats(size, random.integer(1, 3)) for _ in range(count)]
    return Call([elements, random.choice(others, others[0])], {"body": body}, outputs=2)
