"""Samples of distributions that ONNX has no operator for."""

import math

import torch

from hetu.ops.kinds import Context, Ints, Tensor
from hetu.ops.registry import op

_LIMIT = math.erf(math.sqrt(2))
"""The probability of lying within two standard deviations."""

# erfinv(u) = u * polynomial(-log(1 - u*u) - 2.5) where |u| < 0.9966, highest power first (Giles
# 2010).
_COEFFICIENTS = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 2.1858087e-04,
    -1.25372503e-03, -4.17768164e-03, 2.46640727e-01, 1.50140941,
)  # fmt: skip


def _polynomial() -> str:
    """The lines that compute `p8`, the polynomial of `w`, by Horner's rule."""
    lines = [f"c{i} = Constant <value = float {{{c!r}}}> ()" for i, c in enumerate(_COEFFICIENTS)]
    lines.append("p0 = Identity (c0)")
    for i in range(1, len(_COEFFICIENTS)):
        lines += [f"m{i} = Mul (p{i - 1}, w)", f"p{i} = Add (m{i}, c{i})"]
    return "\n".join(lines)


@op(
    "TruncatedNormal",
    domain="hetu",
    body=f"""
    <domain: "hetu", opset_import: ["" : 13]>
    TruncatedNormal <shape, mean, scale> () => (sample) {{
        u = RandomUniform <shape: ints = @shape, low = {-_LIMIT!r}, high = {_LIMIT!r}> ()
        one = Constant <value = float {{1.0}}> ()
        shift = Constant <value = float {{2.5}}> ()
        root = Constant <value = float {{{math.sqrt(2)!r}}}> ()
        square = Mul (u, u)
        rest = Sub (one, square)
        logarithm = Log (rest)
        negative = Neg (logarithm)
        w = Sub (negative, shift)
        {_polynomial()}
        inverse = Mul (u, p8)
        normal = Mul (inverse, root)
        deviation = Constant <value_float: float = @scale> ()
        center = Constant <value_float: float = @mean> ()
        scaled = Mul (normal, deviation)
        sample = Add (scaled, center)
    }}
    """,
)
def truncated_normal(*, shape: Ints, mean: float = 0.0, scale: float = 1.0, ctx: Context) -> Tensor:
    uniform = torch.empty(shape, device=ctx.device)
    uniform.uniform_(-_LIMIT, _LIMIT, generator=ctx.generator)
    return mean + scale * math.sqrt(2) * torch.erfinv(uniform)
