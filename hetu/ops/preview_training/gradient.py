"""Differentiation of a part of a graph."""

import torch

from hetu.ops.kinds import Any, Body, Strs, Tensor
from hetu.ops.registry import op


@op("Gradient", domain="ai.onnx.preview.training")
def gradient(*inputs: Any, xs: Strs, y: str, zs: Strs = (), part: Body) -> tuple[Tensor, ...]:
    """`part` is what the names stand for in a file: the graph that makes `y` of `xs` and `zs`."""
    is_nested = torch.is_grad_enabled()
    with torch.enable_grad():
        variables = [
            x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
            for x in inputs[: len(xs)]
        ]
        (target,) = part(*variables, *inputs[len(xs) :])
        if not target.requires_grad:
            return tuple(map(torch.zeros_like, variables))
        return torch.autograd.grad(
            target, variables, torch.ones_like(target), create_graph=is_nested,
            materialize_grads=True,
        )  # fmt: skip
