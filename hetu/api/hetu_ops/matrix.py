"""Products of matrices."""

from typing import Any

from hetu.api.hetu_ops.parts import rank
from hetu.api.value import Value, make


def matmul_op(
    node_A: Value, node_B: Value, trans_A: bool = False, trans_B: bool = False, ctx: Any = None
) -> Value:
    """The product of two matrices, either one transposed first if asked for."""
    if not trans_A and not trans_B:
        return make("MatMul", node_A, node_B)
    return make("Gemm", node_A, node_B, transA=trans_A, transB=trans_B)


def batch_matmul_op(
    node_A: Value, node_B: Value, trans_A: bool = False, trans_B: bool = False, ctx: Any = None
) -> Value:
    """The products of the matrices in the last two dimensions, transposed first if asked for."""
    unknown = (trans_A and rank(node_A) is None) or (trans_B and rank(node_B) is None)
    if unknown:
        left = "...ji" if trans_A else "...ij"
        right = "...kj" if trans_B else "...jk"
        return make("Einsum", node_A, node_B, equation=f"{left},{right}->...ik")
    left = _transposed(node_A) if trans_A else node_A
    right = _transposed(node_B) if trans_B else node_B
    return make("MatMul", left, right)


def linear_op(
    node_A: Value,
    node_B: Value,
    bias: Value,
    trans_A: bool = False,
    trans_B: bool = False,
    ctx: Any = None,
) -> Value:
    """`matmul_op(node_A, node_B, trans_A, trans_B) + bias`."""
    return make("Gemm", node_A, node_B, bias, transA=trans_A, transB=trans_B)


def addmm_op(
    node_A: Value,
    node_B: Value,
    node_C: Value,
    alpha: float = 1.0,
    beta: float = 1.0,
    ctx: Any = None,
) -> Value:
    """`beta * node_A + alpha * (node_B @ node_C)`, for matrices."""
    return make("Gemm", node_B, node_C, node_A, alpha=alpha, beta=beta)


def baddbmm_op(
    node_A: Value,
    node_B: Value,
    node_C: Value,
    alpha: float = 1.0,
    beta: float = 1.0,
    ctx: Any = None,
) -> Value:
    """`beta * node_A + alpha * (node_B @ node_C)`, for batches of matrices."""
    product = make("MatMul", node_B, node_C)
    return _scaled(node_A, beta) + _scaled(product, alpha)


def csrmv_op(node_A: Value, node_B: Value, trans: bool = False, ctx: Any = None) -> Value:
    """The product of a matrix, which may be fed as a sparse one, or its transpose, and a vector."""
    return make("MatMul", node_B, node_A) if trans else make("MatMul", node_A, node_B)


def csrmm_op(
    node_A: Value, node_B: Value, trans_A: bool = False, trans_B: bool = False, ctx: Any = None
) -> Value:
    """The product of a matrix, which may be fed as a sparse one, and a dense matrix."""
    return matmul_op(node_A, node_B, trans_A, trans_B)


def _transposed(node: Value) -> Value:
    """The matrices in the last two dimensions, transposed; the rank must be known."""
    axes = list(range(rank(node) or 0))
    return make("Transpose", node, perm=[*axes[:-2], axes[-1], axes[-2]])


def _scaled(node: Value, factor: float) -> Value:
    return node if factor == 1 else make("Mul", node, factor)
