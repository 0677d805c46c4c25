"""Losses of classification."""

import torch

from hetu.errors import ModelError, show
from hetu.ops.autocast import raised
from hetu.ops.kinds import Tensor
from hetu.ops.registry import op


@op("NegativeLogLikelihoodLoss", since=12, fixed=("weight",))
def negative_log_likelihood_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Tensor:
    # torch's own operator has no gradient for the weight
    kept = torch.ones_like(target, dtype=torch.bool)
    if ignore_index is not None:
        kept = target != ignore_index
    classes = target.long().where(kept, 0)
    scale = kept.to(input.dtype) if weight is None else weight[classes].where(kept, 0)
    picked = input.gather(1, classes.unsqueeze(1)).squeeze(1)
    return _reduce(-picked.where(kept, 0) * scale, scale, reduction)


def _reduce(loss: Tensor, scale: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ModelError(f"reduction is {show(reduction)}; it is 'none', 'sum' or 'mean'")
    kind = torch.promote_types(loss.dtype, torch.float32)
    total = loss.sum(dtype=kind)
    if reduction == "mean":
        total = total / scale.sum(dtype=kind)
    return total.to(loss.dtype)


@op("SoftmaxCrossEntropyLoss", since=12, fixed=("weights",))
def softmax_cross_entropy_loss(
    scores: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Tensor | None]:
    log_prob = torch.log_softmax(raised(scores), 1)
    loss = negative_log_likelihood_loss(
        log_prob, labels, weights, ignore_index=ignore_index, reduction=reduction
    )
    return loss, log_prob
