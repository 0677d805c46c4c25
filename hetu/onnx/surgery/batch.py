"""Another batch size for a loaded model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hetu.errors import UsageError, show
from hetu.ir import Value, remade
from hetu.onnx.onnx2hetu import LoadedModel
from hetu.onnx.surgery.follower import BatchFollower
from hetu.types import Dim, TensorType, ValueType

ANY_LENGTH = 3
"""The size of symbolic dimensions, other than the batch, while nodes are tried."""


def change_batch(
    model: LoadedModel,
    size: int | str,
    *,
    axes: Mapping[str, int] | None = None,
    feeds: Mapping[str, Sequence[Any]] | None = None,
) -> LoadedModel:
    """The model for batches of another size: a number, or a name where it may be any.

    The batch is the first axis of every input that is as long there as the first input, or the axis
    that `axes` gives by input name. Sizes inside of the graph follow. `feeds` gives, by input name,
    different example batches of the old size to try the nodes on, where ones and normal floats do
    not do. The model given stays as it is; the new one has variables of its own. Raises
    `UsageError`, and `UnsupportedError` where a node cannot follow the batch.
    """
    graph = model.ir.graph
    assert graph is not None
    batch_axes = _batch_axes(model.inputs, axes or {})
    lengths = {_dims(value)[axis] for value, axis in batch_axes.items()}
    if len(lengths) != 1:
        raise UsageError(f"the inputs are of different batch sizes, {lengths}; name theirs in axes")
    old, copy = lengths.pop(), replace(model.ir)
    types = {value: _resized(value, axis, size) for value, axis in batch_axes.items()}
    if isinstance(old, int) and old != size:
        follower = BatchFollower(old, size)
        count = follower.repetition.batches
        examples = {
            v: _examples(v, (feeds or {}).get(v.name), count) for v in model.inputs.values()
        }
        graph, types = follower.graph(graph, batch_axes, types, examples), follower.types

    def change(value: Value) -> Value:
        value_type = types.get(value) or _renamed(value.type, old, size)
        return replace(value, type=value_type, model=value.model and copy)

    copy.graph = remade(graph, change)
    return LoadedModel(copy)


def _batch_axes(inputs: Mapping[str, Value], axes: Mapping[str, int]) -> dict[Value, int]:
    """The batch axis of each input that has one."""
    for name, axis in axes.items():
        if name not in inputs:
            raise UsageError(f"axes: the model has no input {show(name)}")
        if not 0 <= axis < len(_dims(inputs[name])):
            raise UsageError(f"axes: input {show(name)} has no axis {axis}")
    if axes:
        return {inputs[name]: axis for name, axis in axes.items()}
    first = next((_dims(value)[:1] for value in inputs.values()), ())
    found = {value: 0 for value in inputs.values() if first and _dims(value)[:1] == first}
    if not found:
        raise UsageError("the model's first input has no axis that could be the batch")
    return found


def _dims(value: Value) -> tuple[Dim, ...]:
    if value.shape is None:
        raise UsageError(f"input {show(value.name)} is of unknown rank")
    return value.shape


def _resized(value: Value, axis: int, size: Dim) -> TensorType:
    assert isinstance(value.type, TensorType)
    dims = _dims(value)
    return replace(value.type, shape=(*dims[:axis], size, *dims[axis + 1 :]))


def _renamed(value_type: ValueType | None, old: Dim, new: Dim) -> ValueType | None:
    """A type with a symbolic dimension of name `old` as `new`."""
    if not isinstance(old, str) or not isinstance(value_type, TensorType) or not value_type.shape:
        return value_type
    return replace(value_type, shape=tuple(new if d == old else d for d in value_type.shape))


def _examples(value: Value, given: Sequence[Any] | None, count: int) -> list[np.ndarray]:
    """Feeds of the old size: those given, in turn, or normal floats and ones."""
    if given is not None:
        return [np.asarray(given[i % len(given)]) for i in range(count)]
    element = value.dtype
    if element is None or element.torch is None:
        raise UsageError(f"input {show(value.name)} is {value.type}; give examples in feeds")
    shape = tuple(dim if isinstance(dim, int) else ANY_LENGTH for dim in _dims(value))
    if element.is_float:
        random = np.random.default_rng(0)
        return [random.normal(size=shape).astype(element.numpy) for _ in range(count)]
    return [np.ones(shape, element.numpy)] * count
