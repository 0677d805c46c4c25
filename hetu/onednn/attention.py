"""Attention: products of queries and keys, their softmax, and its products with values.

Scores are made for some heads and queries at a time, so that they stay in the caches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
import torch

from hetu.onednn import binding as c
from hetu.onednn.common import MOST, Ints, contiguous_strides, present
from hetu.onednn.primitive import After, Description, Order, Primitive, strided
from hetu.onednn.recording import constant

MOST_SCORES = 1 << 19
"""So many scores are made at a time, or those of one query for each thread."""

_MOST_KEPT = 1 << 24
"""So many scores are kept for the gradients of an attention: 64 MiB."""

_SECTIONS = 4
"""Long causal attention is computed in at least so many sections, over keys up to their ends."""

_LONG = 256

_FEWEST = 1 << 19
"""With fewer multiplications of queries by keys, torch takes less time than the calls here."""

_BYTES = 4


class Form(NamedTuple):
    """The shape and the strides of a tensor (batch, heads, length, size)."""

    shape: Ints
    strides: Ints

    @classmethod
    def of(cls, tensor: torch.Tensor) -> "Form":
        """That of a tensor."""
        return cls(tuple(tensor.shape), tensor.stride())

    def at(self, *indices: int) -> int:
        """Where the elements at some indices begin, in bytes."""
        pairs = zip(indices, self.strides, self.shape, strict=False)
        return _BYTES * sum(index * stride for index, stride, size in pairs if size > 1)

    def slices(self, begins: Sequence[int], ends: Sequence[int]) -> tuple[slice, ...]:
        """The part between some indices, or what there is of it where it is repeated."""
        return tuple(
            slice(begin, end) if size > 1 else slice(None)
            for begin, end, size in zip(begins, ends, self.shape, strict=False)
        )

    def part(self, *extent: int) -> "Form":
        """That of a part of it, or of what there is of it where it is repeated.

        An axis of one element steps over those after it, as the library's fast products ask for.
        """
        shape = tuple(map(min, self.shape, extent))
        strides = list(self.strides)
        for axis in reversed(range(len(shape) - 1)):
            if shape[axis] == 1:
                after = zip(shape[axis + 1 :], strides[axis + 1 :], strict=True)
                strides[axis] = max(size * stride for size, stride in after)
        return Form(shape, tuple(strides))

    def turned(self) -> "Form":
        """The same with the last two axes exchanged."""
        (*outer, a, b), (*steps, c, d) = self
        return Form((*outer, b, a), (*steps, d, c))

    @property
    def order(self) -> Order:
        """The library's description of it."""
        return strided(present(), *self)


def whole_form(shape: Ints) -> Form:
    """That of a tensor in one piece."""
    return Form(shape, contiguous_strides(shape))


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    is_causal: bool,
    keeps: bool = False,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """`softmax(q @ k.T * scale + mask) @ v` of (batch, heads, length, size), and the softmax.

    The mask is anything that broadcasts to (batch, heads, queries, keys), as which the softmax is
    whole only if it `keeps` it. A causal one leaves out keys after the query's own position. None
    where torch is faster, or the softmax would take too much memory.
    """
    if keeps and prod(q.shape[:3]) * k.shape[2] > _MOST_KEPT:
        return None
    is_whole = prod(q.shape[1:3]) * k.shape[2] <= MOST_SCORES
    q, k, v = map(_in_one_piece if is_whole else with_rows, (q, k, v))
    form_mask = None if mask is None else Form.of(mask)
    forms = Form.of(q), Form.of(k), Form.of(v), form_mask
    plan = _plan(*forms, scale, is_causal, keeps, torch.get_num_threads())
    return None if plan is None else plan.run(q, k, v, mask)


def with_rows(x: torch.Tensor) -> torch.Tensor:
    """The tensor, copied if its rows do not lie in one piece or are repeated."""
    return x if x.stride(-1) == 1 and all(x.stride()) else x.contiguous()


def _in_one_piece(x: torch.Tensor) -> torch.Tensor:
    """The tensor, copied if it is a part of another: all heads of such are multiplied slowly."""
    return x if x.transpose(1, 2).is_contiguous() else x.contiguous()


class _Step(NamedTuple):
    """What computes the results of some items, heads and queries, over the keys that they see."""

    scores: Primitive
    softmax: Primitive
    results: Primitive


class _Place(NamedTuple):
    """Where a step reads and writes, in bytes from the beginnings of the tensors.

    What is `added` to the scores is a part of the mask, where the step does not add it itself;
    `causal` is added to their first rows and last columns.
    """

    step: _Step
    q: int
    k: int
    v: int
    result: int
    scores: int
    mask: int
    added: tuple[slice, ...]
    causal: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """The steps of an attention, whose result is (batch, length, heads, size) in memory."""

    result: Ints
    scores: Ints
    places: list[_Place]

    def run(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The result (batch, heads, length, size), and the memory of the softmax."""
        result = torch.empty(self.result, dtype=torch.float32)
        room = torch.empty(self.scores, dtype=torch.float32)
        for step, q_at, k_at, v_at, result_at, scores_at, mask_at, added, causal in self.places:
            scores = room, scores_at
            masks = () if mask is None or added else ((mask, mask_at),)
            step.scores.run_at(scores, (q, q_at), (k, k_at), *masks)
            if mask is not None and added:
                _in(room, step, scores_at).add_(mask[added])
            elif causal is not None:
                rows, columns = causal.shape
                _in(room, step, scores_at)[..., :rows, -columns:].add_(causal)
            step.softmax.run_at(scores, scores)
            step.results.run_at((result, result_at), scores, (v, v_at))
        return result.transpose(1, 2), room


def _in(room: torch.Tensor, step: _Step, begin: int) -> torch.Tensor:
    """The scores of a step in the memory for scores."""
    return room.as_strided(step.scores.shape, step.scores.strides, begin // _BYTES)


@lru_cache(MOST)
def _plan(
    q: Form,
    k: Form,
    v: Form,
    mask: Form | None,
    scale: float,
    is_causal: bool,
    keeps: bool,
    threads: int,
) -> _Plan | None:
    """How to compute an attention, which keeps the whole softmax if it `keeps`."""
    (batch, heads, length, _), keys = q.shape, k.shape[2]
    is_small = prod(q.shape) * keys < _FEWEST
    if is_small or not _fit(q, k, v, mask) or (is_causal and mask is not None):
        return None
    result = result_form(batch, heads, length, v.shape[3])
    task = _Task(q, k, v, mask, result, scale, is_causal, keeps)
    is_long = is_causal and length >= _LONG and not keeps
    most = -(-length // _SECTIONS) if is_long else length
    extents = items, some, rows = _extents((batch, heads, most), keys, task.fused, threads)
    if keeps and rows < length:
        return None
    starts = product(range(0, batch, items), range(0, heads, some), range(0, length, rows))
    places = [task.place(at, extents) for at in starts]
    if any(part.description.is_reference for step in task.steps.values() for part in step):
        return None
    room = task.scores.shape if keeps else (items * some * rows * keys,)
    return _Plan((batch, length, heads, v.shape[3]), room, places)


@dataclass
class _Task:
    """What is to be computed, and the steps for it so far, by their extents."""

    q: Form
    k: Form
    v: Form
    mask: Form | None
    result: Form
    scale: float
    is_causal: bool
    keeps: bool
    steps: dict[Ints, _Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scores = whole_form((*self.q.shape[:3], self.k.shape[2]))
        is_fused = self.mask is not None and _is_fused(self.mask, self.scores)
        self.fused, self.apart = (self.mask, None) if is_fused else (None, self.mask)

    def place(self, at: Ints, extents: Ints) -> _Place:
        """What is computed from an item, a head and a query on."""
        *limits, keys = self.scores.shape
        ends = [min(a + b, c) for a, b, c in zip(at, extents, limits, strict=True)]
        seen = min(keys, ends[2]) if self.is_causal and not self.keeps else keys
        extent = (*(end - begin for begin, end in zip(at, ends, strict=True)), seen)
        if extent not in self.steps:
            self.steps[extent] = self._step(extent)
        return _Place(
            self.steps[extent],
            q=self.q.at(*at),
            k=self.k.at(*at[:2]),
            v=self.v.at(*at[:2]),
            result=self.result.at(*at),
            scores=self.scores.at(*at) if self.keeps else 0,
            mask=self.fused.at(*at) if self.fused else 0,
            added=self.apart.slices(at, ends) if self.apart else (),
            causal=_triangle(extent[2], seen - at[2]) if self.is_causal and seen > at[2] else None,
        )

    def _step(self, extent: Ints) -> _Step:
        """What computes so many items, heads, queries and keys."""
        *outer, rows, keys = extent
        depth, size = self.q.shape[3], self.v.shape[3]
        scores = whole_form(extent)
        q, k = self.q.part(*outer, rows, depth), self.k.turned().part(*outer, depth, keys)
        v, result = self.v.part(*outer, keys, size), self.result.part(*outer, rows, size)
        added = self.fused and self.fused.part(*extent)
        return _Step(
            product_of(q, k, scores, self.scale, added),
            Primitive(softmax_of(scores.order), (c.SOURCE,), *scores),
            product_of(scores, v, result),
        )


def result_form(batch: int, heads: int, length: int, size: int) -> Form:
    """That of a result which lies in memory as (batch, length, heads, size)."""
    return Form((batch, heads, length, size), (length * heads * size, size, heads * size, 1))


def _fit(q: Form, k: Form, v: Form, mask: Form | None) -> bool:
    """Whether the shapes go together: torch says what is wrong with others."""
    (batch, heads, length, depth), keys = q.shape, k.shape[2]
    whole = (batch, heads, length, keys)
    masks = whole if mask is None else mask.shape
    return (
        k.shape == (batch, heads, keys, depth)
        and v.shape[:3] == (batch, heads, keys)
        and all(size in (1, full) for size, full in zip(masks, whole, strict=True))
    )


def _is_fused(mask: Form, scores: Form) -> bool:
    """Whether the library adds a mask with the products: one for each score, or for each key.

    The latter goes item by item, which is too little at a time where they are small.
    """
    batch, *item = scores.shape
    is_of_keys = mask.shape[1] == mask.shape[2] == mask.strides[3] == 1
    return mask == scores or (is_of_keys and (batch == 1 or 2 * prod(item) > MOST_SCORES))


def _extents(shape: Ints, keys: int, mask: Form | None, threads: int) -> Ints:
    """How many items, heads and queries are computed at a time, at most as many as in `shape`.

    There is more than one item where all heads are, and more than one head where all queries are;
    threads share heads. Of a mask, the library reads what lies in one piece, or is the same for all
    queries of an item.
    """
    batch, heads, length = shape
    is_repeated = mask is not None and mask.shape[2] < length
    some = MOST_SCORES // (length * keys)
    if some >= heads:
        return (1 if is_repeated else min(batch, some // heads)), heads, length
    if some >= threads:
        return 1, some - some % threads, length
    some = min(heads, threads) if mask is None or is_repeated else 1
    return 1, some, max(1, min(length, MOST_SCORES // (some * keys)))


def _triangle(queries: int, keys: int) -> torch.Tensor:
    """What leaves out the keys after each query, from the same position of both on.

    Queries after the last key leave nothing out, and are none of its rows.
    """
    if keys > queries:
        return _leaving_out(queries, keys)
    return _larger_triangle(1 << keys.bit_length())[:keys, :keys]


@lru_cache
def _larger_triangle(size: int) -> torch.Tensor:
    return _leaving_out(size, size)


def _leaving_out(queries: int, keys: int) -> torch.Tensor:
    """Minus infinity for the keys after each query."""
    return constant(np.triu(np.full((queries, keys), -np.inf, np.float32), 1))


def product_of(
    a: Form, b: Form, result: Form, factor: float | None = None, added: Form | None = None
) -> Primitive:
    """`a @ b * factor + added`."""
    dnnl = present()
    after = After(added and added.order, factor=factor)
    given = dnnl.engine, a.order, b.order, None, result.order
    roles = (c.SOURCE, c.WEIGHTS) if added is None else (c.SOURCE, c.WEIGHTS, c.ADDED_SECOND)
    return Primitive(Description(dnnl, "matmul", given, after), roles, *result)


def softmax_of(order: Order) -> Description:
    """The softmax along the last axis."""
    dnnl, axis = present(), len(order.shape) - 1
    given = dnnl.engine, c.INFERENCE, c.SOFTMAX, order, order, axis
    return Description(dnnl, "softmax_forward", given, After())
