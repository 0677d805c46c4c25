"""Arithmetic of uint64, which kernels get in int64 with the same bits.

Sums, products and bits need no care, order and quotients do. A kernel that computes those names the
reserved parameter `unsigned`, which says whether its int64 tensors are such.
"""

import torch

from hetu.ops.kinds import Tensor

_SIGN = -(1 << 63)


def ordered(x: Tensor, unsigned: bool) -> Tensor:
    """Integers that compare, signed, as `x` does; its own inverse."""
    return x ^ _SIGN if unsigned else x


def shift_right(x: Tensor, count: Tensor) -> Tensor:
    """`x` shifted with zeros coming in; 0 where `count` is no less than 64."""
    return torch.where(count == 0, x, ((x >> 1) & ~_SIGN) >> (count - 1))


def divide(a: Tensor, b: Tensor) -> Tensor:
    """The quotient, rounded down: Hacker's Delight, second edition, 9-3."""
    is_small = b > 0
    divisor = torch.where(b < 0, 1, b)
    quotient = torch.div((a >> 1) & ~_SIGN, divisor, rounding_mode="trunc") << 1
    rest = torch.where(is_small, a - quotient * divisor, a)
    quotient = torch.where(is_small, quotient, 0)
    return quotient + (ordered(rest, True) >= ordered(b, True))
