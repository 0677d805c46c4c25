"""Fourier transforms."""

from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down


@down("DFT", 20)
def dft(rewrite: Rewrite) -> Results:
    """The axis was an attribute, 1 by default instead of the last one before the pairs."""
    x, length, axis = rewrite.given(0), rewrite.input(1), rewrite.input(2)
    position = -2 if axis is None else rewrite.ints(axis, "axis")[0]
    return rewrite.keep([x, length], axis=position % rewrite.rank(x))
