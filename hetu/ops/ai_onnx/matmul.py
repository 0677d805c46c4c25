"""Matrix products."""

from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op("MatMul")
def mat_mul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b
