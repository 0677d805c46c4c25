"""Whether a large batch gives what smaller ones give that hold its samples."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from hetu.convert import to_numpy
from hetu.types import dtype

RTOL, ATOL = 1e-3, 1e-4
"""Kernels sum in another order for another batch; this is far above what float32 loses by it."""

MAX_BATCHES = 3


LAST, INNER, OUTER, ALONE = range(4)
"""How an axis holds the batch: as part of the last axis, which most layers take for features, as
the inner or outer part of another one, or alone. Where several fit, the later is the likelier."""


class Place(NamedTuple):
    """The axis that holds the batch, and how."""

    axis: int
    how: int


class Repetition:
    """A batch of `new` samples, taken in turn from `batches` different ones of `old` samples."""

    def __init__(self, old: int, new: int) -> None:
        self.old, self.new = old, new
        self.batches = min(MAX_BATCHES, -(-new // old))
        self._samples = np.arange(new) % (old * self.batches)

    def merged(self, batches: Sequence[np.ndarray], axis: int) -> np.ndarray:
        """The large batch that the small ones make."""
        return np.concatenate(batches, axis).take(self._samples, axis)

    def place(self, batches: Sequence[Any], large: Any) -> Place | None:
        """Where `large` holds the samples of `batches`; None where it does not."""
        lengths = {tuple(getattr(batch, "shape", ())) for batch in batches}
        shape = lengths.pop()
        if lengths or len(shape) != len(getattr(large, "shape", ())):
            return None
        axes = [i for i, (f, a) in enumerate(zip(shape, large.shape, strict=True)) if f != a]
        if len(axes) != 1 or shape[axes[0]] * self.new != large.shape[axes[0]] * self.old:
            return None
        axis, multiple = axes[0], shape[axes[0]] // self.old
        arrays, large_array = [_array(batch) for batch in batches], _array(large)
        is_outer = self._holds(arrays, large_array, axis, (self.old, multiple), axis)
        if not is_outer and not self._holds(
            arrays, large_array, axis, (multiple, self.old), axis + 1
        ):
            return None
        if multiple == 1:
            return Place(axis, ALONE)
        return Place(axis, LAST if axis == len(shape) - 1 else OUTER if is_outer else INNER)

    def _holds(
        self,
        batches: Sequence[np.ndarray],
        large: np.ndarray,
        axis: int,
        lengths: tuple[int, int],
        batch_axis: int,
    ) -> bool:
        """Whether that is so once `axis` is split into `lengths`, with the batch on `batch_axis`."""
        shape = batches[0].shape
        split = (*shape[:axis], *lengths, *shape[axis + 1 :])
        merged = self.merged([batch.reshape(split) for batch in batches], batch_axis)
        return _is_close(merged.reshape(large.shape), large)

    def uniform_axes(self, content: Any) -> list[int]:
        """The axes as long as the batch along which all samples are equal."""
        lengths = getattr(content, "shape", ())
        axes = [axis for axis, length in enumerate(lengths) if length == self.old]
        array = _array(content) if axes else np.empty(0)
        return [a for a in axes if self.old == 1 or (array == array.take([0], a)).all()]


def _array(content: Any) -> np.ndarray:
    array = to_numpy(content)
    return array.astype(np.float64) if dtype(array.dtype).is_float else array


def _is_close(first: np.ndarray, again: np.ndarray) -> bool:
    if first.dtype.kind == "f":
        return bool(np.allclose(first, again, RTOL, ATOL, equal_nan=True))
    return bool((first == again).all())
