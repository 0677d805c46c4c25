"""Broadcasting as ONNX had it before opset 7 made it numpy's."""

from hetu.ops.kinds import Tensor


def aligned(a: Tensor, b: Tensor, axis: int | None, broadcast: int) -> Tensor:
    """`b` with its first dimension at dimension `axis` of `a`, at the last dimensions if None."""
    if not broadcast or axis is None:
        return b
    return b.reshape(b.shape + (1,) * (a.ndim - axis % a.ndim - b.ndim))
