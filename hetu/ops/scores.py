"""What classifiers and regressors of `ai.onnx.ml` do with their scores."""

from typing import Any

import numpy as np
import torch

from hetu.errors import ModelError, show
from hetu.ops.kinds import Ints, Strs, Tensor

NO_VOTE = 1e-7
"""SOFTMAX_ZERO leaves scores that are smaller than this at zero."""

ERF_INV = 0.147
"""The constant of Winitzki's approximation to the inverse error function."""


def rows(x: Tensor) -> Tensor:
    """The samples as rows of floats; a vector is one sample."""
    x = x if x.is_floating_point() else x.float()
    return x.reshape(1, -1) if x.ndim < 2 else x


def transformed(scores: Tensor, post_transform: str) -> Tensor:
    """The scores (N, E) after the transform that the attribute names."""
    match post_transform:
        case "NONE":
            return scores
        case "SOFTMAX":
            return torch.softmax(scores, -1)
        case "LOGISTIC":
            return torch.sigmoid(scores)
        case "SOFTMAX_ZERO":
            return _softmax_zero(scores)
        case "PROBIT":
            return _probit(scores)
    raise ModelError(f"post_transform {show(post_transform)} is not one of ONNX's")


def _softmax_zero(scores: Tensor) -> Tensor:
    top = scores.amax(-1, keepdim=True)
    is_vote = scores.abs() > NO_VOTE
    votes = torch.where(is_vote, torch.exp(scores - top), 0)
    total = votes.sum(-1, keepdim=True)
    return torch.where(is_vote, votes, scores * torch.exp(-top)) / total


def _probit(scores: Tensor) -> Tensor:
    """The inverse of the normal distribution, by the approximation that ONNX's runtimes share."""
    x = 2 * scores - 1
    log = torch.log1p(-x * x)
    v = 2 / (torch.pi * ERF_INV) + log / 2
    return 2**0.5 * torch.sign(x) * torch.sqrt(torch.sqrt(v * v - log / ERF_INV) - v)


def labels(classes: Tensor, ints: Ints, strings: Strs) -> Any:
    """The labels of class numbers: a tensor, or an array of strings."""
    if strings:
        return np.asarray(strings, dtype=object)[classes.cpu().numpy()]
    return torch.tensor(ints, device=classes.device)[classes]
