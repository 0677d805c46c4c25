"""Support vector machines."""

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import torch

from hetu.ops.kinds import Any, Floats, Ints, Strs, Tensor
from hetu.ops.prepared import prepared
from hetu.ops.registry import op
from hetu.ops.scores import labels, rows, transformed

COUPLING_STEPS = 100
COUPLING_ERROR = 0.005
SURE = 1e-7
"""Pairwise probabilities stay this far from 0 and 1."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Support vectors (V, F), none in a linear model; coefficients (rows, V or F) and offsets."""

    vectors: Tensor | None
    coefficients: Tensor
    rho: Tensor


@op("SVMRegressor", domain="ai.onnx.ml")
def svm_regressor(
    x: Tensor,
    *,
    coefficients: Floats = (),
    kernel_params: Floats = (),
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    rho: Floats = (),
    support_vectors: Floats = (),
) -> Tensor:
    x = rows(x)
    machine = _machine(
        support_vectors, coefficients, rho,
        count=n_supports, rows=1, device=x.device, dtype=x.dtype,
    )  # fmt: skip
    features = x if machine.vectors is None else _kernel(x, machine, kernel_type, kernel_params)
    scores = features @ machine.coefficients.T + machine.rho[:1]
    if one_class:
        return torch.where(scores > 0, 1.0, -1.0)
    return transformed(scores, post_transform).float()


@op("SVMClassifier", domain="ai.onnx.ml")
def svm_classifier(
    x: Tensor,
    *,
    classlabels_ints: Ints = (),
    classlabels_strings: Strs = (),
    coefficients: Floats = (),
    kernel_params: Floats = (),
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: Floats = (),
    prob_b: Floats = (),
    rho: Floats = (),
    support_vectors: Floats = (),
    vectors_per_class: Ints = (),
) -> tuple[Any, Tensor]:
    x = rows(x)
    count = len(classlabels_strings or classlabels_ints)
    n_vectors = sum(vectors_per_class)
    machine = _machine(
        support_vectors, coefficients, rho,
        count=n_vectors, rows=count - 1 if n_vectors else count, device=x.device, dtype=x.dtype,
    )  # fmt: skip
    if machine.vectors is None:
        scores = x @ machine.coefficients.T + machine.rho[:1]
        classes = scores.argmax(1)
    else:
        kernels = _kernel(x, machine, kernel_type, kernel_params)
        scores = _duels(kernels, machine, vectors_per_class)
        classes = _most_votes(scores > 0, count)
        if prob_a:
            scores = _coupled(_sure(scores, prob_a, prob_b), count)
        elif count == 2:
            scores = torch.cat([-scores, scores], 1)
    scores = transformed(scores, post_transform).float()
    return labels(classes, classlabels_ints, classlabels_strings), scores


@prepared
def _machine(
    vectors: Floats, coefficients: Floats, rho: Floats,
    *, count: int, rows: int, device: torch.device, dtype: torch.dtype,
) -> Machine:  # fmt: skip
    def tensor(numbers: Floats) -> Tensor:
        return torch.tensor(numbers, device=device, dtype=dtype)

    return Machine(
        tensor(vectors).reshape(count, -1) if count else None,
        tensor(coefficients).reshape(rows, -1),
        tensor(rho),
    )


def _kernel(x: Tensor, machine: Machine, kernel_type: str, params: Floats) -> Tensor:
    """The kernel function of every sample and support vector, (N, V)."""
    vectors = machine.vectors
    assert vectors is not None
    gamma, coef0, degree = params or (0.0, 0.0, 0.0)
    if kernel_type == "RBF":
        distance = torch.cdist(x, vectors, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-gamma * distance.square())
    products = x @ vectors.T
    if kernel_type == "POLY":
        return torch.pow(gamma * products + coef0, degree)
    return torch.tanh(gamma * products + coef0) if kernel_type == "SIGMOID" else products


def _duels(kernels: Tensor, machine: Machine, vectors_per_class: Ints) -> Tensor:
    """The decision between each two classes, (N, pairs); positive is for the first of the two.

    Row `r` of the coefficients weighs a class's vectors against class `r`, or `r + 1` from that
    class on: there is no row against itself.
    """
    bounds = pairwise(np.cumsum((0, *vectors_per_class)).tolist())
    weighed = torch.stack([kernels[:, a:b] @ machine.coefficients[:, a:b].T for a, b in bounds], 1)
    first, second = _pairs(len(vectors_per_class))
    sums = weighed[:, first, second - 1] + weighed[:, second, first]
    return sums + machine.rho[: len(first)]


def _pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.array(list(combinations(range(count), 2))).reshape(-1, 2).T
    return first, second


def _most_votes(is_first: Tensor, count: int) -> Tensor:
    """The class that wins most duels, the lowest of equals."""
    first, second = (torch.from_numpy(side).to(is_first.device) for side in _pairs(count))
    winners = torch.where(is_first, first, second)
    votes = torch.zeros(len(winners), count, dtype=torch.int64, device=is_first.device)
    return votes.scatter_add(1, winners, torch.ones_like(winners)).argmax(1)


def _sure(scores: Tensor, prob_a: Floats, prob_b: Floats) -> Tensor:
    """The probability that the first class wins each duel (Platt scaling)."""
    a, b = (torch.tensor(p, device=scores.device, dtype=scores.dtype) for p in (prob_a, prob_b))
    n = scores.shape[1]
    return torch.sigmoid(-(scores * a[:n] + b[:n])).clamp(SURE, 1 - SURE)


def _coupled(duels: Tensor, count: int) -> Tensor:
    """Class probabilities (N, E) from those of the duels (N, pairs).

    The second method of Wu, Lin and Weng, Probability Estimates for Multi-class Classification by
    Pairwise Coupling, as libsvm computes it.
    """
    q = _coupling(duels, count)
    p = duels.new_full((len(duels), count), 1 / count)
    for _ in range(COUPLING_STEPS):
        qp = (q @ p.unsqueeze(2)).squeeze(2)
        pqp = (p * qp).sum(1, keepdim=True)
        is_open = (qp - pqp).abs().amax(1, keepdim=True) >= COUPLING_ERROR / count
        if not is_open.any():
            break
        p = torch.where(is_open, _coupling_step(q, p, qp, pqp), p)
    return p


def _coupling(duels: Tensor, count: int) -> Tensor:
    """The quadratic form (N, E, E) that class probabilities minimise."""
    first, second = _pairs(count)
    wins = duels.new_zeros(len(duels), count, count)
    wins[:, first, second] = duels
    wins[:, second, first] = 1 - duels
    losses = wins.transpose(1, 2)
    return torch.diag_embed(losses.square().sum(2)) - losses * wins


def _coupling_step(q: Tensor, p: Tensor, qp: Tensor, pqp: Tensor) -> Tensor:
    """One sweep over the classes, each class moved in turn."""
    for i in range(p.shape[1]):
        row, own = q[:, i], q[:, i, i, None]
        diff = (pqp - qp[:, i : i + 1]) / own
        pqp = (pqp + diff * (diff * own + 2 * qp[:, i : i + 1])) / (1 + diff).square()
        qp = (qp + diff * row) / (1 + diff)
        p = (p + diff * torch.eye(p.shape[1], device=p.device, dtype=p.dtype)[i]) / (1 + diff)
    return p
