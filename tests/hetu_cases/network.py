"""Matrix products, convolution and losses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as nn

from tests.hetu_cases.case import HOLES, IMAGE, X, case, f, i, p


def cross_entropy(log_p: torch.Tensor, labels: torch.Tensor, ignored: int) -> torch.Tensor:
    labels = labels.long()
    is_kept = (labels >= 0) & (labels != ignored)
    return -log_p.gather(-1, (labels * is_kept)[..., None])[..., 0] * is_kept


def interpolated(**options: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: nn.interpolate(x, mode="bicubic", **options)


MATRIX = [
    case("matmul_op", f(2, 3), f(3, 4), to=torch.matmul),
    case("matmul_op", f(3, 2), f(4, 3), trans_A=True, trans_B=True, to=lambda a, b: a.T @ b.T),
    case("batch_matmul_op", f(2, 5, 3, 4), f(2, 5, 4, 2), to=torch.matmul),
    case("batch_matmul_op", f(2, 4, 3), f(2, 4, 5), trans_A=True, to=lambda a, b: a.mT @ b),
    case("batch_matmul_op", f(2, 3, 4), f(2, 5, 4), trans_B=True, to=lambda a, b: a @ b.mT),
    case("batch_matmul_op", f(4, 3), f(5, 4), trans_A=True, trans_B=True,
         to=lambda a, b: a.mT @ b.mT),
    case("linear_op", f(2, 3), f(3, 4), f(4), to=lambda a, b, c: a @ b + c),
    case("linear_op", f(2, 3), f(4, 3), f(4), trans_B=True, to=lambda a, b, c: a @ b.T + c),
    case("addmm_op", f(4), f(2, 3), f(3, 4), alpha=0.5, beta=2.0,
         to=lambda a, b, c: torch.addmm(a, b, c, alpha=0.5, beta=2.0)),
    case("baddbmm_op", f(5, 2, 4), f(5, 2, 3), f(5, 3, 4), alpha=0.5, beta=2.0,
         to=lambda a, b, c: torch.baddbmm(a, b, c, alpha=0.5, beta=2.0)),
    case("csrmv_op", f(3, 2), f(3), trans=True, to=lambda a, b: a.T @ b),
    case("csrmm_op", f(2, 3), f(4, 3), trans_B=True, to=lambda a, b: a @ b.T),
]  # fmt: skip

CONVOLUTION = [
    case("conv2d_op", IMAGE, f(5, 3, 3, 2), padding=1, stride=2,
         to=lambda x, w: nn.conv2d(x, w, padding=1, stride=2)),
    case("conv2d_op", IMAGE, f(5, 3, 3, 2), padding=(2, 0), stride=(1, 2),
         to=lambda x, w: nn.conv2d(x, w, padding=(2, 0), stride=(1, 2))),
    case("conv2d_add_bias_op", IMAGE, f(5, 3, 3, 3), f(5), padding=1,
         to=lambda x, w, b: nn.conv2d(x, w, b, padding=1)),
    case("conv2d_broadcastto_op", f(3), IMAGE, constant=(1,),
         to=lambda b, x: b[:, None, None].expand(x.shape)),
    case("conv2d_reducesum_op", IMAGE, to=lambda x: x.sum((0, 2, 3))),
    case("avg_pool2d_op", IMAGE, kernel_H=3, kernel_W=2, padding=1, stride=2,
         to=lambda x: nn.avg_pool2d(x, (3, 2), 2, 1)),
    case("max_pool2d_op", IMAGE, kernel_H=3, kernel_W=2, padding=1, stride=2,
         to=lambda x: nn.max_pool2d(x, (3, 2), 2, 1)),
    case("layer_normalization_op", f(2, 3, 4), f(4), f(4),
         to=lambda x, s, b: nn.layer_norm(x, (4,), s, b, 0.01)),
    case("instance_normalization2d_op", IMAGE, to=lambda x: nn.instance_norm(x, eps=0.01)),
    case("interpolate_op", IMAGE, size=(9, 5), to=interpolated(size=(9, 5))),
    case("interpolate_op", IMAGE, scale_factor=2, align_corners=True,
         to=interpolated(scale_factor=2, align_corners=True)),
    case("interpolate_op", IMAGE, scale_factor=(2, 1.5), to=interpolated(scale_factor=(2, 1.5))),
    case("pad_op", IMAGE, paddings=[[1, 0], [2, 1]], to=lambda x: nn.pad(x, (2, 1, 1, 0))),
    case("pad_op", IMAGE, paddings=[[0, 0], [0, 1], [1, 0], [2, 1]], constant_values=3,
         to=lambda x: nn.pad(x, (2, 1, 1, 0, 0, 1), value=3)),
]  # fmt: skip

LABELS = i([0, 3, -1], [2, -1, 1])
LOSS = [
    case("softmaxcrossentropy_op", f(2, 3, 4), p(2, 3, 4), constant=(1,),
         to=lambda x, y: -(y * x.log_softmax(-1)).sum(-1)),
    case("softmaxcrossentropy_op", f(3, 4), np.eye(4, dtype=np.int32)[[2, 0, 1]],
         to=lambda x, y: -(y * x.log_softmax(-1)).sum(-1)),
    case("softmaxcrossentropy_op", f(4), p(4), constant=(1,),
         to=lambda x, y: -(y * x.log_softmax(-1)).sum(-1, keepdim=True)),
    case("softmaxcrossentropy_sparse_op", f(2, 3, 4), LABELS,
         to=lambda x, y: cross_entropy(x.log_softmax(-1), y, -1)),
    case("softmaxcrossentropy_sparse_op", f(2, 3, 4), LABELS.astype(np.float32), constant=(1,),
         ignored_index=2, to=lambda x, y: cross_entropy(x.log_softmax(-1), y, 2)),
    case("crossentropy_op", p(3, 4), p(3, 4), constant=(1,),
         to=lambda x, y: -(y * x.log()).sum(-1)),
    case("crossentropy_op", np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32),
         constant=None, to=lambda x, y: torch.zeros(3)),
    case("crossentropy_sparse_op", p(2, 3, 4), LABELS,
         to=lambda x, y: cross_entropy(x.log(), y, -1)),
    case("crossentropy_sparse_op", p(3, 4), i(3, 0, 1, element=np.int32), ignored_index=0,
         to=lambda x, y: cross_entropy(x.log(), y, 0)),
    case("binarycrossentropy_op", p(3, 4), (HOLES == 0).astype(np.float32), constant=(1,),
         to=lambda x, y: -(y * (x + 1e-12).log() + (1 - y) * (1 - x + 1e-12).log())),
    case("binarycrossentropywithlogits_op", 9 * X, (HOLES == 0).astype(np.int64),
         to=lambda x, y: nn.binary_cross_entropy_with_logits(x, y.float(), reduction="none")),
    case("nll_loss_op", f(3, 4), i(3, 0, 2, element=np.int32), cols=4,
         to=lambda x, y: -x[torch.arange(3), y.long()].mean()[None]),
    case("softmax_op", f(2, 3, 4), to=lambda x: x.softmax(-1)),
    case("log_softmax_op", f(2, 3, 4), to=lambda x: x.log_softmax(-1)),
]  # fmt: skip
