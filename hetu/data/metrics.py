"""How good predictions are, in numpy."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from hetu.errors import UsageError, show

Curve = Literal["ROC", "PR"]
Average = Literal["micro", "macro", "weighted"] | None

_COUNTS = ("tp", "fn", "tn", "fp")


def softmax_func(y: Any) -> np.ndarray:
    """Softmax over the last axis."""
    scores = np.asarray(y)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def accuracy(labels: Any, predictions: Any) -> float:
    """The part of predictions that are right; classes are numbers, or rows of scores."""
    return float(np.mean(_classes(labels) == _classes(predictions)))


def confusion_matrix_at_thresholds(
    labels: Any,
    predictions: Any,
    thresholds: Sequence[float],
    includes: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """True and false positives and negatives ("tp", "fn", "tn", "fp") at each threshold.

    What is predicted to be positive is above the threshold. `includes` says which counts to make.
    """
    wanted = _COUNTS if includes is None else tuple(includes)
    if not set(wanted) <= set(_COUNTS):
        raise UsageError(f"includes holds {', '.join(_COUNTS)}, not {show(includes)}")
    scores = np.asarray(predictions).reshape(-1)
    is_positive = np.asarray(labels).reshape(-1).astype(bool)
    fn, tn = (
        np.searchsorted(np.sort(scores[part]), thresholds, side="right").astype(np.float64)
        for part in (is_positive, ~is_positive)
    )
    positives = np.count_nonzero(is_positive)
    counts = {"tp": positives - fn, "fn": fn, "tn": tn, "fp": len(scores) - positives - tn}
    return {name: counts[name] for name in wanted}


def roc_pr_curve(values: Mapping[str, Any], curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """The points (x, y) of a curve, from what `confusion_matrix_at_thresholds` returns.

    "ROC": false and true positive rate. "PR": recall and precision, which is 1 where nothing is
    predicted to be positive. A rate among no samples at all is nan.
    """
    tp, fp, fn = (np.asarray(values[name], np.float64) for name in ("tp", "fp", "fn"))
    recall = _ratio(tp, tp + fn, np.nan)
    if curve == "PR":
        return recall, _ratio(tp, tp + fp, 1.0)
    if curve != "ROC":
        raise UsageError(f"curve is 'ROC' or 'PR', not {show(curve)}")
    return _ratio(fp, fp + values["tn"], np.nan), recall


def auc(labels: Any, predictions: Any, num_thresholds: int = 200, curve: Curve = "ROC") -> float:
    """The area under a curve, by the trapezoidal rule over equally spaced thresholds in [0, 1]."""
    if num_thresholds < 2:
        raise UsageError(f"auc needs at least two thresholds, not {num_thresholds}")
    thresholds = np.linspace(0, 1, num_thresholds)
    thresholds[0], thresholds[-1] = -np.inf, np.inf
    values = confusion_matrix_at_thresholds(labels, predictions, thresholds.tolist())
    x, y = roc_pr_curve(values, curve)
    return float(np.trapezoid(y[::-1], x[::-1]))


def confusion_matrix_one_hot(labels: Any, predictions: Any) -> np.ndarray:
    """How often class i (row) is taken for class j (column).

    Labels and predictions are rows of scores or one-hot rows, (n, classes).
    """
    count = np.shape(labels)[-1]
    if np.shape(labels) != np.shape(predictions):
        raise UsageError(
            f"labels of shape {list(np.shape(labels))} and predictions of shape "
            f"{list(np.shape(predictions))} do not belong together"
        )
    pairs = np.argmax(labels, -1) * count + np.argmax(predictions, -1)
    return np.bincount(pairs.reshape(-1), minlength=count * count).reshape(count, count)


def precision_score_one_hot(labels: Any, predictions: Any, average: Average = None) -> Any:
    """The part of what is taken for a class that is of it: by class, or averaged."""
    tp, fp, fn = _class_counts(labels, predictions)
    return _averaged(tp, tp + fp, tp + fn, average)


def recall_score_one_hot(labels: Any, predictions: Any, average: Average = None) -> Any:
    """The part of a class that is taken for it: by class, or averaged."""
    tp, _, fn = _class_counts(labels, predictions)
    return _averaged(tp, tp + fn, tp + fn, average)


def f_score_one_hot(
    labels: Any, predictions: Any, beta: float = 1.0, average: Average = None
) -> Any:
    """The weighted harmonic mean of precision and recall: by class, or averaged."""
    tp, fp, fn = _class_counts(labels, predictions)
    weight = beta**2
    whole = (1 + weight) * tp + weight * fn + fp
    return _averaged((1 + weight) * tp, whole, tp + fn, average)


def _classes(array: Any) -> np.ndarray:
    array = np.asarray(array)
    has_scores = array.ndim > 1 and array.shape[-1] > 1
    return array.argmax(-1).reshape(-1) if has_scores else array.reshape(-1)


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float) -> np.ndarray:
    """Their quotient; `empty` where `whole` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(part), empty), where=whole != 0)


def _class_counts(labels: Any, predictions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True positives, false positives and false negatives by class."""
    matrix = confusion_matrix_one_hot(labels, predictions).astype(np.float64)
    tp = np.diagonal(matrix)
    return tp, matrix.sum(0) - tp, matrix.sum(1) - tp


def _averaged(part: np.ndarray, whole: np.ndarray, support: np.ndarray, average: Average) -> Any:
    """Quotients, 0 where there is nothing to divide by."""
    match average:
        case None:
            return _ratio(part, whole, 0.0)
        case "micro":
            return float(_ratio(part.sum(), whole.sum(), 0.0))
        case "macro":
            return float(_ratio(part, whole, 0.0).mean())
        case "weighted":
            return float(np.average(_ratio(part, whole, 0.0), weights=support))
    raise UsageError(f"average is 'micro', 'macro', 'weighted' or None, not {show(average)}")
