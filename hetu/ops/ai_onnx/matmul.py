"""Matrix products."""

from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op("MatMul")
def matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b
