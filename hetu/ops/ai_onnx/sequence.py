"""Sequences: tuples of tensors, or of arrays of strings."""

from itertools import accumulate

import numpy as np
import torch

from hetu.errors import UsageError
from hetu.ops.join import concat, stack
from hetu.ops.kinds import Any, DType, HostTensor, Ints
from hetu.ops.registry import op


@op("SequenceEmpty", since=11)
def sequence_empty(*, dtype: DType | None = None) -> Any:
    return ()


@op("SequenceConstruct", since=11)
def sequence_construct(*inputs: Any) -> Any:
    return inputs


@op("SequenceInsert", since=11)
def sequence_insert(input_sequence: Any, tensor: Any, position: int | None = None) -> Any:
    length = len(input_sequence)
    index = length if position is None else _checked(position, length, length)
    return (*input_sequence[:index], tensor, *input_sequence[index:])


@op("SequenceAt", since=11)
def sequence_at(input_sequence: Any, position: int) -> Any:
    return input_sequence[_checked(position, len(input_sequence), len(input_sequence) - 1)]


@op("SequenceErase", since=11)
def sequence_erase(input_sequence: Any, position: int | None = None) -> Any:
    length = len(input_sequence)
    index = _checked(-1 if position is None else position, length, length - 1)
    return (*input_sequence[:index], *input_sequence[index + 1 :])


@op("SequenceLength", since=11)
def sequence_length(input_sequence: Any) -> HostTensor:
    return torch.tensor(len(input_sequence))


@op("SplitToSequence", since=11)
def split_to_sequence(
    input: Any, split: Ints | None = None, *, axis: int = 0, keepdims: int = 1
) -> Any:
    """A split of one element means the same as a scalar, by which all parts but the last go."""
    size = input.shape[axis]
    if split is None:
        parts = _parts(input, (1,) * size, axis)
        return parts if keepdims else tuple(part.squeeze(axis) for part in parts)
    step = split[0] if len(split) == 1 else 0
    if step:
        split = tuple(min(step, size - start) for start in range(0, size, step)) or (0,)
    return _parts(input, split, axis)


@op("ConcatFromSequence", since=11)
def concat_from_sequence(input_sequence: Any, *, axis: int, new_axis: int = 0) -> Any:
    if not input_sequence:
        raise UsageError("an empty sequence cannot be concatenated")
    return (stack if new_axis else concat)(input_sequence, axis)


def _checked(position: int, length: int, highest: int) -> int:
    """A position in a sequence, counted from the front."""
    if not -length <= position <= highest:
        raise UsageError(f"position {position} is outside of a sequence of length {length}")
    return position + length if position < 0 else position


def _parts(value: Any, sizes: Ints, axis: int) -> tuple[Any, ...]:
    if isinstance(value, np.ndarray):
        return tuple(np.split(value, list(accumulate(sizes))[:-1], axis))
    return torch.split(value, list(sizes), axis)
