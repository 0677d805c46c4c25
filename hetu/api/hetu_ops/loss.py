"""Losses. Classes are along the last axis; labels may be of any numeric type."""

from typing import Any

from hetu.api.hetu_ops.creation import SMALLEST
from hetu.api.hetu_ops.parts import as_ids, clipped, like
from hetu.api.hetu_ops.reduction import reduce_sum_op
from hetu.api.value import Value, make

MARGIN = 1e-12
"""What `binarycrossentropy_op` adds to probabilities before it takes their logarithm."""


def softmaxcrossentropy_op(
    node_A: Value, node_B: Value, use_cudnn: bool = True, ctx: Any = None
) -> Value:
    """The cross entropy of the softmax of `node_A` against the probabilities `node_B`.

    `use_cudnn` has no effect.
    """
    return _expected(node_B, log_softmax_op(node_A))


def softmaxcrossentropy_sparse_op(
    node_A: Value, node_B: Value, ignored_index: int = -1, ctx: Any = None
) -> Value:
    """The cross entropy of the softmax of `node_A` against labels, one less in rank.

    It is 0 where the label is `ignored_index` or negative.
    """
    label, is_ignored = _labels(node_B, ignored_index)
    loss = -_picked(log_softmax_op(node_A), label)
    return make("Where", is_ignored, like(0, node_A), loss)


def crossentropy_op(node_y: Value, node_y_: Value, ctx: Any = None) -> Value:
    """The cross entropy of the probabilities `node_y` against the probabilities `node_y_`."""
    return _expected(node_y_, make("Log", clipped(node_y, SMALLEST)))


def crossentropy_sparse_op(
    node_y: Value, node_y_: Value, ignored_index: int = -1, ctx: Any = None
) -> Value:
    """The cross entropy of the probabilities `node_y` against labels, one less in rank.

    It is 0 where the label is `ignored_index` or negative.
    """
    label, is_ignored = _labels(node_y_, ignored_index)
    probability = make("Where", is_ignored, like(1, node_y), _picked(node_y, label))
    return -make("Log", probability)


def binarycrossentropy_op(node_A: Value, node_B: Value, ctx: Any = None) -> Value:
    """The cross entropy of each probability in `node_A` against its target in `node_B`."""
    target = like(node_B, node_A)
    if_true = target * make("Log", node_A + MARGIN)
    if_false = (1 - target) * make("Log", 1 - node_A + MARGIN)
    return -(if_true + if_false)


def binarycrossentropywithlogits_op(inputs: Value, targets: Value, ctx: Any = None) -> Value:
    """The cross entropy of the sigmoid of each element of `inputs` against its target."""
    return make("Softplus", inputs) - inputs * like(targets, inputs)


def nll_loss_op(input: Value, target: Value, cols: int, ctx: Any = None) -> Value:
    """The mean of `-input[i, target[i]]` over the rows, shape (1,); `cols` has no effect."""
    picked = make("GatherElements", input, make("Unsqueeze", as_ids(target), axes=[1]), axis=1)
    return -make("ReduceMean", picked, axes=[0], keepdims=0)


def softmax_op(node: Value, ctx: Any = None) -> Value:
    """The softmax over the last axis."""
    return make("Softmax", node, axis=-1)


def log_softmax_op(node: Value, ctx: Any = None) -> Value:
    """The logarithm of the softmax over the last axis."""
    return make("LogSoftmax", node, axis=-1)


def _expected(probabilities: Value, log_probabilities: Value) -> Value:
    weighted = like(probabilities, log_probabilities) * log_probabilities
    return -reduce_sum_op(weighted, -1)


def _labels(node: Value, ignored_index: int) -> tuple[Value, Value]:
    """Labels with 0 in place of those to ignore, and which these are."""
    label = as_ids(node)
    is_ignored = make("Less", label, like(0, label))
    if ignored_index >= 0:
        is_ignored = make("Or", is_ignored, make("Equal", label, like(ignored_index, label)))
    return make("Where", is_ignored, like(0, label), label), is_ignored


def _picked(node: Value, label: Value) -> Value:
    """The element of each row that its label says."""
    column = make("GatherElements", node, make("Unsqueeze", label, axes=[-1]), axis=-1)
    return make("Squeeze", column, axes=[-1])
