"""Linear models."""

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.ops.kinds import Any, Floats, Ints, Strs, Tensor
from hetu.ops.prepared import prepared
from hetu.ops.registry import op
from hetu.ops.scores import labels, rows, transformed


@op("LinearRegressor", domain="ai.onnx.ml")
def linear_regressor(
    x: Tensor,
    *,
    coefficients: Floats = (),
    intercepts: Floats = (),
    post_transform: str = "NONE",
    targets: int = 1,
) -> Tensor:
    x = rows(x)
    weight, bias = _weights(coefficients, intercepts, targets=targets, like=_place(x))
    return transformed(F.linear(x, weight, bias), post_transform).float()


@op("LinearClassifier", domain="ai.onnx.ml")
def linear_classifier(
    x: Tensor,
    *,
    coefficients: Floats,
    classlabels_ints: Ints = (),
    classlabels_strings: Strs = (),
    intercepts: Floats = (),
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> tuple[Any, Tensor]:
    x = rows(x)
    targets = len(coefficients) // x.shape[1]
    weight, bias = _weights(coefficients, intercepts, targets=targets, like=_place(x))
    scores = F.linear(x, weight, bias)
    if targets > 1 or len(classlabels_strings or classlabels_ints) != 2:
        classes, scores = scores.argmax(1), transformed(scores, post_transform)
    else:
        classes, score = (scores[:, 0] > 0).long(), transformed(scores, post_transform)
        scores = torch.cat([1 - score, score], 1)
    return labels(classes, classlabels_ints, classlabels_strings), scores.float()


def _place(x: Tensor) -> tuple[torch.device, torch.dtype]:
    return x.device, x.dtype


@prepared
def _weights(
    coefficients: Floats,
    intercepts: Floats,
    *,
    targets: int,
    like: tuple[torch.device, torch.dtype],
) -> tuple[Tensor, Tensor | None]:
    device, dtype = like
    weight = torch.tensor(coefficients, device=device, dtype=dtype).reshape(targets, -1)
    if len(intercepts) != targets:
        return weight, None
    return weight, torch.tensor(intercepts, device=device, dtype=dtype)
