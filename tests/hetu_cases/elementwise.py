"""Arithmetic, functions of single elements, creation."""

import math

import numpy as np
import torch
from torch.nn import functional as nn

from tests.hetu_cases.case import HOLES, IMAGE, POSITIVE, X, Y, case, f, i


def erf_gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def step_with_surrogate(x: torch.Tensor) -> torch.Tensor:
    size = x.detach().abs()
    slope = torch.where(size <= 0.4, 2 - 4 * size, torch.where(size <= 1, 0.4, 0.0))
    return (x > 0).float() + slope * (x - x.detach())


ARITHMETIC = [
    case("add_op", X, f(4), to=torch.add),
    case("minus_op", X, f(3, 1), to=torch.sub),
    case("mul_op", X, f(1), to=torch.mul),
    case("div_op", X, POSITIVE, to=torch.div),
    case("div_handle_zero_op", X, HOLES, to=lambda a, b: a / torch.where(b == 0, 1.0, b)),
    case("matrix_dot_op", X, f(3, 1), to=torch.mul),
    case("addbyconst_op", X, const_val=2.5, to=lambda x: x + 2.5),
    case("minus_byconst_op", X, const_val=2.5, to=lambda x: 2.5 - x),
    case("mul_byconst_op", X, const_val=2.5, to=lambda x: x * 2.5),
    case("div_const_op", POSITIVE, const_val=2.5, to=lambda x: 2.5 / x),
    case("pow_op", POSITIVE, eps=1.7, to=lambda x: x**1.7),
    case("power_op", X, p=3, to=lambda x: x**3),
    case("power_op", np.zeros((2, 2), np.float32), p=2, to=lambda x: x**2),
    case("const_pow_op", X, val=1.7, to=lambda x: 1.7**x),
]

ELEMENTWISE = [
    case("opposite_op", X, to=torch.neg),
    case("abs_op", X, to=torch.abs),
    case("exp_op", X, to=torch.exp),
    case("log_op", POSITIVE, to=torch.log),
    case("log_op", X, eps=0.01, to=lambda x: x.clamp(min=0.01).log()),
    case("log_op", POSITIVE, eps=0, to=torch.log),
    case("log_op", POSITIVE.astype(np.float64), to=torch.log),
    case("clamp_op", X.astype(np.float64), max=0.5, to=lambda x: x.clamp(max=0.5)),
    case("clamp_op", i(1, 5, 9), min=2, max=6, to=lambda x: x.clamp(2, 6)),
    case("add_op", i(1, 5, 9), i(2, element=np.int64), to=torch.add),
    case("mul_byconst_op", X, const_val=np.sqrt(2.0), to=lambda x: x * math.sqrt(2)),
    case("sqrt_op", POSITIVE, to=torch.sqrt),
    case("rsqrt_op", POSITIVE, to=torch.rsqrt),
    case("floor_op", X, to=torch.floor),
    case("sign_op", X, to=torch.sign),
    case("sin_op", X, to=torch.sin),
    case("cos_op", X, to=torch.cos),
    case("tanh_op", X, to=torch.tanh),
    case("sigmoid_op", X, to=torch.sigmoid),
    case("relu_op", X, to=torch.relu),
    case("leaky_relu_op", X, alpha=0.2, to=lambda x: nn.leaky_relu(x, 0.2)),
    case("gelu_op", X, to=erf_gelu),
    case("binary_step_op", X, to=step_with_surrogate),
    case("bool_op", X, to=lambda x: (x > 0).float(), constant=None),
    case("bool_op", HOLES, val=0.0, to=lambda x: (x == 0).float(), constant=None),
    *(
        case("bool_op", X, np.where(HOLES == 0, X, Y) + gap, cond=cond, constant=None,
             to=lambda a, b, c=compare: c(a - b).float())
        for gap in (np.float32(0), np.float32(2e-7))
        for cond, compare in enumerate([
            lambda d: d.abs() < 1e-6, lambda d: d < -1e-6, lambda d: d > 1e-6,
            lambda d: d < 1e-6, lambda d: d > -1e-6,
        ])
    ),
    case("bool_op", i(1, 2, 3), val=2, cond=3, to=lambda x: (x <= 2).float()),
    case("clamp_op", X, min=-0.5, max=0.7, to=lambda x: x.clamp(-0.5, 0.7)),
    case("clamp_op", X, Y, min=-1.5, max_mat=None, to=lambda a, b: torch.maximum(a.clamp(-1.5), b)),
    case("clamp_op", X, Y, min_mat=None, to=torch.minimum),
    case("masked_fill_op", X, (HOLES == 0).astype(np.float32), val=9.0, constant=(1,),
         to=lambda x, m: x.masked_fill(m == 1, 9.0)),
    case("masked_fill_op", X, HOLES == 0, val=9.0, to=lambda x, m: x.masked_fill(m, 9.0)),
    case("mask_op", X, (HOLES == 0).astype(np.int32), to=lambda x, m: x * m),
    case("mask_op", f(2, 3, 4), i([1, 0, 1], [0, 2, 1], element=np.int32),
         to=lambda x, m: x * (m != 0)[..., None]),
    case("where_op", HOLES, X, Y, constant=(0,), to=lambda c, a, b: torch.where(c != 0, a, b)),
    case("where_const_op", HOLES, X, const_attr=3.0, constant=(0,),
         to=lambda c, a: torch.where(c != 0, a, 3.0)),
    case("oneslike_op", X, to=torch.ones_like, constant=None),
    case("zeroslike_op", X, to=torch.zeros_like, constant=None),
    case("full_like_op", X, fill_value=1.5, to=lambda x: torch.full_like(x, 1.5), constant=None),
    case("stop_gradient_op", X, to=lambda x: x.detach() + 0 * x),
    case("dropout_op", X, keep_prob=0.4, to=lambda x: x),
    case("dropout2d_op", IMAGE, keep_prob=0.4, to=lambda x: x),
]  # fmt: skip

CREATION = [
    case("arange_op", start=1, end=3, step=0.3, to=lambda: torch.arange(1, 3, 0.3)),
    case("arange_op", start=0, end=0.3, step=0.1, to=lambda: torch.tensor([0.0, 0.1, 0.2])),
    case("full_op", size=(2, 3), fill_value=4, to=lambda: torch.full((2, 3), 4.0)),
]
