"""Where slices along one axis begin and end."""

from collections.abc import Sequence
from typing import NamedTuple

from hetu.ir import Node
from hetu.passes.facts import argument


class Span(NamedTuple):
    """The elements from `start` to `end`, which is not one of them, along an axis from 0 on."""

    axis: int
    start: int
    end: int


def span_of(part: Node, shape: Sequence[int]) -> Span | None:
    """What a `Slice` of a tensor takes, if it takes neighbours along one axis."""
    try:
        starts, ends, axes, steps = (
            argument(part, name) for name in ("starts", "ends", "axes", "steps")
        )
    except LookupError:
        return None
    along = [int(number) % len(shape) for number in (range(len(starts)) if axes is None else axes)]
    if len(along) != 1 or (steps is not None and steps[0] != 1):
        return None
    start, end, _ = slice(int(starts[0]), int(ends[0])).indices(shape[along[0]])
    return Span(along[0], start, end)
