"""Products with weights that are packed once, with bias and activation in the same step."""

from torch.nn import functional as F  # noqa: N812

from hetu.ops import native
from hetu.ops.kinds import Any, Floats, Ints, Tensor
from hetu.ops.products import Choice, trained_product
from hetu.ops.registry import FUSED, op


@op("PackLinear", domain=FUSED)
def pack_linear(
    w: Tensor, *, transposed: bool, packs: bool = True, is_for_row: bool = False
) -> Any:
    """The weight (inputs, outputs), or (outputs, inputs) if `transposed`, as `Linear` wants it."""
    weight = w if transposed else w.t()
    if is_for_row:
        return native.pack_for_row(weight)
    return native.pack_linear(weight) if packs else weight


@op("Linear", domain=FUSED)
def linear(
    x: Tensor, w: Any, b: Tensor | None = None, *, activation: str = "", numbers: Floats = ()
) -> Tensor:
    return native.linear(x, w, b, activation, numbers)


@op("LinearPlus", domain=FUSED)
def linear_plus(x: Tensor, w: Any, b: Tensor | None, other: Tensor) -> Tensor:
    return native.linear_plus(x, other, w, b)


@op("TrainedLinear", domain=FUSED)
def trained_linear(
    x: Tensor, w: Tensor, b: Tensor | None = None, *, transposed: bool, choice: Ints
) -> Tensor:
    """The product with a weight (inputs, outputs), or (outputs, inputs) if `transposed`."""
    if x.device.type != "cpu":
        return F.linear(x, w if transposed else w.t(), b)
    return trained_product(x, w if transposed else w.t(), b, Choice(*map(bool, choice)))
