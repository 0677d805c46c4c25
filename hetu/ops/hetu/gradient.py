"""Differentiation as operators: a graph can take gradients anywhere and go on with them."""

import torch

from hetu.ops.kinds import Tensor
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
    grads = torch.autograd.grad(
        [y for y, _ in pairs], xs, [seed for _, seed in pairs],
        retain_graph=retain_graph or create_graph, create_graph=create_graph, allow_unused=True,
    )  # fmt: skip
    pairs = zip(xs, grads, strict=True)
    return tuple(torch.zeros_like(x) if g is None else _formed(g, sparse) for x, g in pairs)


def _formed(gradient: Tensor, sparse: bool) -> Tensor:
    return gradient.to_dense() if gradient.is_sparse and not sparse else gradient
