"""Matrix products and determinants."""

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.autocast import exactly
from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op("MatMul")
def mat_mul(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim > 1 and a.shape[-1] == 1:
        # Nothing is summed: autocast has nothing to gain, and positions times frequencies to lose.
        return exactly(_matmul, a, b)
    return _matmul(a, b)


@op("Gemm", since=7)
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: bool = False,  # noqa: N803
    transB: bool = False,  # noqa: N803
) -> Tensor:
    is_float = a.is_floating_point()
    if is_float and transB and not transA and alpha == beta == 1 and c is not None and c.ndim == 1:
        return F.linear(a, b, c)  # exporters' layers: the same as below in fewer calls
    a, b = a.t() if transA else a, b.t() if transB else b
    if c is not None and is_float:
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)
    product = _scaled(_on_host_if_integer(torch.mm, a, b), alpha)
    return product if c is None else product + _scaled(c, beta)


@op("Gemm")
def gemm_1(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: bool = False,
    transA: bool = False,  # noqa: N803
    transB: bool = False,  # noqa: N803
) -> Tensor:
    return gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


@op("Einsum", since=12)
def einsum(*inputs: Tensor, equation: str) -> Tensor:
    def product(*operands: Tensor) -> Tensor:
        return _on_host_if_integer(partial(torch.einsum, equation), *operands)

    y = product(*inputs) if _sums(equation) else exactly(product, *inputs)
    # torch sums small integers in int64
    return y if y.is_floating_point() else y.to(inputs[0].dtype)


@op("Det", since=11)
def det(x: Tensor) -> Tensor:
    is_small = x.dtype in (torch.float16, torch.bfloat16)
    return torch.linalg.det(x.float() if is_small else x).to(x.dtype)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return x if factor == 1 else (x * factor).to(x.dtype)


def _sums(equation: str) -> bool:
    """Whether an equation sums anything; like `mat_mul`, it is computed exactly if not."""
    operands, arrow, result = equation.partition("->")
    indices = set(operands) - set(" ,.")
    kept = set(result) if arrow else {i for i in indices if operands.count(i) == 1}
    return not indices <= kept


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return _on_host_if_integer(torch.matmul, a, b)


def _on_host_if_integer(product: Callable[..., Tensor], *operands: Tensor) -> Tensor:
    """A product of matrices; torch has no product of integer matrices on accelerators."""
    first = operands[0]
    if first.is_cuda and not (first.is_floating_point() or first.is_complex()):
        return product(*(operand.cpu() for operand in operands)).to(first.device)
    return product(*operands)
