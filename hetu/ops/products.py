"""Products with a weight that is trained: by oneDNN where that is faster on this processor."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops import native
from hetu.ops.kinds import Tensor
from hetu.ops.measure import is_much_faster


class Choice(NamedTuple):
    """Which products of a layer oneDNN computes: its result, and the gradients of both operands."""

    result: bool
    gradient_x: bool
    gradient_w: bool


LARGEST_MEASURED = 512
"""Products are measured with at most so many rows, columns and terms: it takes 40 ms in all."""


def choose(rows: int, depth: int, columns: int) -> Choice:
    """The choice for (rows, depth) times (depth, columns), measured when it is first asked for.

    Each product goes the usual way, unless the other one is much faster for its sizes. Gradients
    of weights go to oneDNN's library alone, which reads transposed operands as they lie.
    """
    sizes = (min(size, LARGEST_MEASURED) for size in (rows, depth, columns))
    return _measured(*sizes)


@lru_cache(256)
def _measured(rows: int, depth: int, columns: int) -> Choice:
    if not native.has_wide_products():
        return Choice(False, False, False)
    suits = _suits_onednn()
    suits_weights = suits and native.has_library()
    x, w, y = (torch.full(s, 0.5) for s in ((rows, depth), (columns, depth), (rows, columns)))
    return Choice(
        result=_goes_to_onednn(x, w, suits),
        gradient_x=_goes_to_onednn(y, w.t(), suits),
        gradient_w=_goes_to_onednn(y.t(), x.t(), suits_weights),
    )


@lru_cache(1)
def _suits_onednn() -> bool:
    """Whether oneDNN is the usual way.

    MKL leaves vectors of 512 bits unused on other makers' processors than Intel's. On Intel's, a
    product of this size takes the same time both ways, and MKL is faster in many larger ones.
    """
    x = torch.full((LARGEST_MEASURED, LARGEST_MEASURED), 0.5)
    return is_much_faster(*_ways(x, x))


def _goes_to_onednn(a: Tensor, b: Tensor, is_usual: bool) -> bool:
    blas, onednn = _ways(a, b)
    return not is_much_faster(onednn, blas) if is_usual else is_much_faster(blas, onednn)


def _ways(a: Tensor, b: Tensor) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """`a @ b.T` by BLAS and by oneDNN."""
    return partial(torch.mm, a, b.t()), partial(native.product, a, b)


def trained_product(x: Tensor, w: Tensor, bias: Tensor | None, choice: Choice) -> Tensor:
    """`x @ w.T + bias`, which is differentiable once; `w` is (columns, depth)."""
    rows = x.reshape(-1, x.shape[-1])
    return _Product.apply(rows, w, bias, choice).view(*x.shape[:-1], len(w))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, choice: Choice) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.choice = choice
        return _product(x, w, choice.result, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        choice: Choice = ctx.choice
        for_x, for_w, for_bias, _ = ctx.needs_input_grad
        return (
            _product(gradient, w.t(), choice.gradient_x) if for_x else None,
            _gradient_w(gradient, x, w, choice.gradient_w) if for_w else None,
            gradient.sum(0) if for_bias else None,
            None,
        )


def _gradient_w(gradient: Tensor, x: Tensor, w: Tensor, by_onednn: bool) -> Tensor:
    """The gradient in the order in memory of the weight, as optimizers want it."""
    if w.is_contiguous():
        return _product(gradient.t(), x.t(), by_onednn)
    return _product(x.t(), gradient.t(), by_onednn).t()


def _product(a: Tensor, b: Tensor, by_onednn: bool, bias: Tensor | None = None) -> Tensor:
    return native.product(a, b, bias) if by_onednn else F.linear(a, b, bias)
