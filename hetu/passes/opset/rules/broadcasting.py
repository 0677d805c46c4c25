"""Until opset 7, the second operand was broadcast from an `axis` of the first."""

from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, up

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
LOGIC = ("And", "Or", "Xor", "Equal", "Greater", "Less")


def align(rewrite: Rewrite) -> Results:
    """Dimensions of size 1 after the second operand's own put these where `axis` wants them."""
    a, b, axis = rewrite.given(0), rewrite.given(1), rewrite.attribute("axis")
    if rewrite.attribute("broadcast", 0) and axis is not None:
        rank = rewrite.rank(b)
        missing = rewrite.rank(a) - axis % rewrite.rank(a) - rank
        if missing > 0:
            b = rewrite.op("Unsqueeze", b, axes=range(rank, rank + missing))
    return rewrite.keep([a, b], without=("axis", "broadcast"))


for _op_type in (*ARITHMETIC, *LOGIC):
    up(_op_type, 7)(align)


@up("Gemm", 7)
def gemm(rewrite: Rewrite) -> Results:
    return rewrite.keep(without=("broadcast",))


@up("PRelu", 7)
def p_relu(rewrite: Rewrite) -> Results:
    """A slope per channel was aligned with axis 1."""
    x, slope = rewrite.given(0), rewrite.given(1)
    trailing = rewrite.rank(x) - 2
    if trailing > 0 and rewrite.rank(slope) == 1:
        slope = rewrite.op("Unsqueeze", slope, axes=range(1, 1 + trailing))
    return rewrite.keep([x, slope])
