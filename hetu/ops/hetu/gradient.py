"""Differentiation as operators: a graph can take gradients anywhere and go on with them."""

import torch

from hetu.ops.autocast import outside_autocast
from hetu.ops.kinds import Context, Tensor
from hetu.ops.registry import op


@op("Watch", domain="hetu")
def watch(x: Tensor) -> Tensor:
    """`x`, recorded by autograd from here on."""
    return x if x.requires_grad else x.detach().requires_grad_()


@op("Fork", domain="hetu")
def fork(x: Tensor) -> Tensor:
    """`x` as a value of its own to autograd."""
    return x.view_as(x)


@op("Gradient", domain="hetu")
def gradient(
    *values: Tensor,
    count: int,
    seeded: bool = False,
    sparse: bool = False,
    create_graph: bool = False,
    retain_graph: bool = True,
    ctx: Context,
) -> tuple[Tensor, ...]:
    """Gradients of the first `count` values with respect to the others.

    The seeds are ones, or the last `count` values where `seeded`. A variable that the result does
    not depend on has the gradient zero. Gradients of tables that are only looked up in are sparse
    tensors where `sparse` allows it.
    """
    ys, xs = values[:count], values[count : len(values) - count if seeded else None]
    seeds = values[-count:] if seeded else [torch.ones_like(y) for y in ys]
    pairs = [(y, seed) for y, seed in zip(ys, seeds, strict=True) if y.requires_grad]
    if not pairs:
        return tuple(torch.zeros_like(x) for x in xs)
    with outside_autocast(xs[0].device):  # backwards in the types of the way there
        grads = torch.autograd.grad(
            [y for y, _ in pairs], xs, [_scaled(seed, ctx) for _, seed in pairs],
            retain_graph=retain_graph or create_graph, create_graph=create_graph, allow_unused=True,
        )  # fmt: skip
    pairs = zip(xs, grads, strict=True)
    return tuple(
        torch.zeros_like(x) if g is None else _formed(_unscaled(g, ctx), sparse) for x, g in pairs
    )


def _scaled(seed: Tensor, ctx: Context) -> Tensor:
    return seed if ctx.loss_scale is None else seed * ctx.loss_scale


def _unscaled(gradient: Tensor, ctx: Context) -> Tensor:
    """The gradient without the scale of the loss; notes whether that was too large for it."""
    if ctx.loss_scale is None:
        return gradient
    parts = gradient.coalesce().values() if gradient.is_sparse else gradient
    ctx.overflows.append(~parts.detach().isfinite().all())
    return gradient.to(torch.promote_types(gradient.dtype, torch.float32)) / ctx.loss_scale


def _formed(gradient: Tensor, sparse: bool) -> Tensor:
    return gradient.to_dense() if gradient.is_sparse and not sparse else gradient
