"""Products with weights that are packed once, with bias and activation in the same step."""

from hetu.ops import native
from hetu.ops.kinds import Any, Floats, Tensor
from hetu.ops.registry import FUSED, op


@op("PackLinear", domain=FUSED)
def pack_linear(
    w: Tensor, *, transposed: bool, packs: bool = True, like_rows: int | None = None
) -> Any:
    """The weight (inputs, outputs), or (outputs, inputs) if `transposed`, as `Linear` wants it."""
    weight = w if transposed else w.t()
    if like_rows == 1:
        return native.split_linear(weight)
    return native.pack_linear(weight, like_rows) if packs else weight


@op("Linear", domain=FUSED)
def linear(
    x: Tensor, w: Any, b: Tensor | None = None, *, activation: str = "", numbers: Floats = ()
) -> Tensor:
    return native.linear(x, w, b, activation, numbers)


@op("LinearPlus", domain=FUSED)
def linear_plus(x: Tensor, w: Any, b: Tensor | None, other: Tensor) -> Tensor:
    return native.linear_plus(x, other, w, b)
