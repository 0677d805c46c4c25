"""Gradients of attention, from the softmax that it kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch

from hetu.onednn import binding as c
from hetu.onednn.attention import (
    MOST_SCORES,
    Form,
    product_of,
    result_form,
    softmax_of,
    whole_form,
    with_rows,
)
from hetu.onednn.common import MOST, Ints, present
from hetu.onednn.primitive import After, Description, Order, Primitive


def attention_gradient(
    gradient: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    weights: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients of queries, keys and values; `weights` is the softmax, which was kept."""
    gradient, q, k, v = map(with_rows, (gradient, q, k, v))
    plan = _plan(*map(Form.of, (gradient, q, k, v)), scale, torch.get_num_threads())
    return plan.run(gradient, q, k, v, weights)


class _Step(NamedTuple):
    """The products and the softmax of some items and heads, backwards."""

    to_v: Primitive
    weights: Primitive
    softmax: Primitive
    to_q: Primitive
    to_k: Primitive


class _Place(NamedTuple):
    """Where a step reads and writes, in bytes from the beginnings of the tensors."""

    step: _Step
    result: int
    q: int
    k: int
    v: int
    weights: int
    to_q: int
    to_k: int
    to_v: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """The steps; gradients are (batch, length, heads, size) in memory, `room` is for a step."""

    gradients: Sequence[Form]
    room: int
    places: list[_Place]

    def run(
        self,
        gradient: torch.Tensor,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        weights: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The gradients of queries, keys and values."""
        made = [torch.empty_strided(*form, dtype=torch.float32) for form in self.gradients]
        made_q, made_k, made_v = made
        memory = torch.empty(self.room, dtype=torch.float32)
        room = memory, 0
        for step, y_at, q_at, k_at, v_at, weights_at, to_q_at, to_k_at, to_v_at in self.places:
            of_y, softmax = (gradient, y_at), (weights, weights_at)
            step.to_v.run_at((made_v, to_v_at), softmax, of_y)
            step.weights.run_at(room, of_y, (v, v_at))
            step.softmax.run_at(room, softmax, room)
            step.to_q.run_at((made_q, to_q_at), room, (k, k_at))
            step.to_k.run_at((made_k, to_k_at), room, (q, q_at))
        return made_q, made_k, made_v


@lru_cache(MOST)
def _plan(y: Form, q: Form, k: Form, v: Form, scale: float, threads: int) -> _Plan:
    batch, heads, length, keys = (*q.shape[:3], k.shape[2])
    whole = whole_form((batch, heads, length, keys))
    gradients = [result_form(batch, heads, *x.shape[2:]) for x in (q, k, v)]
    some = max(1, MOST_SCORES // (length * keys))
    items, some = (min(batch, some // heads), heads) if some >= heads else (1, some)
    steps: dict[Ints, _Step] = {}
    places = []
    for item, head in product(range(0, batch, items), range(0, heads, some)):
        extent = min(items, batch - item), min(some, heads - head), length, keys
        if extent not in steps:
            steps[extent] = _step(y, q, k, v, gradients, scale, extent)
        begins = (form.at(item, head) for form in (y, q, k, v, whole, *gradients))
        places.append(_Place(steps[extent], *begins))
    return _Plan(gradients, items * some * length * keys, places)


def _step(
    y: Form, q: Form, k: Form, v: Form, gradients: Sequence[Form], scale: float, extent: Ints
) -> _Step:
    """What computes so many items and heads."""
    *outer, length, keys = extent
    depth, size = q.shape[3], v.shape[3]
    scores = whole_form(extent)
    turned, of_y = scores.turned(), y.part(*outer, length, size)
    to_q, to_k, to_v = (form.part(*outer, *form.shape[2:]) for form in gradients)
    backwards = (c.RESULT, c.RESULT_GRADIENT)
    return _Step(
        to_v=product_of(turned, of_y, to_v),
        weights=product_of(of_y, v.turned().part(*outer, size, keys), scores),
        softmax=Primitive(_softmax_backward(scores.order), backwards, *scores, c.SOURCE_GRADIENT),
        to_q=product_of(scores, k.part(*outer, keys, depth), to_q, scale),
        to_k=product_of(turned, q.part(*outer, length, depth), to_k, scale),
    )


def _softmax_backward(order: Order) -> Description:
    dnnl, axis = present(), len(order.shape) - 1
    given = dnnl.engine, c.SOFTMAX, order, order, order, axis, softmax_of(order)
    return Description(dnnl, "softmax_backward", given, After())
