"""Metrics, against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as theirs

from hetu.data import metrics
from hetu.errors import UsageError

CLASSES = 5

averages = pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def one_hot(classes: np.ndarray) -> np.ndarray:
    return np.eye(CLASSES, dtype=np.float32)[classes]


@pytest.fixture(params=["random", "a class that is never predicted", "a class that is not there"])
def case(request: pytest.FixtureRequest, random: np.random.Generator) -> Any:
    """Classes, and scores of which about half are right."""
    labels = random.integers(0, CLASSES, 200)
    scores = random.random((200, CLASSES)) + one_hot(labels) * random.random((200, 1))
    if request.param == "a class that is never predicted":
        scores[:, 3] = -1
    if request.param == "a class that is not there":
        labels[labels == 2] = 0
    return labels, scores


def test_softmax(random: np.random.Generator) -> None:
    scores = random.normal(0, 300, (7, 4))
    np.testing.assert_allclose(metrics.softmax_func(scores), softmax(scores, -1), rtol=1e-13)


def test_accuracy(case: Any) -> None:
    labels, scores = case
    expected = theirs.accuracy_score(labels, scores.argmax(1))
    assert 0.2 < expected < 0.9
    assert metrics.accuracy(one_hot(labels), scores) == expected
    assert metrics.accuracy(labels, scores) == expected
    assert metrics.accuracy(labels, scores.argmax(1)) == expected
    assert metrics.accuracy(labels[:, None], scores.argmax(1)) == expected


def test_confusion_matrix(case: Any) -> None:
    labels, scores = case
    expected = theirs.confusion_matrix(labels, scores.argmax(1), labels=range(CLASSES))
    actual = metrics.confusion_matrix_one_hot(one_hot(labels), scores)
    np.testing.assert_array_equal(actual, expected)


@averages
def test_precision(case: Any, average: Any) -> None:
    labels, scores = case
    expected = theirs.precision_score(
        labels, scores.argmax(1), labels=range(CLASSES), average=average, zero_division=0
    )
    actual = metrics.precision_score_one_hot(one_hot(labels), scores, average)
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


@averages
def test_recall(case: Any, average: Any) -> None:
    labels, scores = case
    expected = theirs.recall_score(
        labels, scores.argmax(1), labels=range(CLASSES), average=average, zero_division=0
    )
    actual = metrics.recall_score_one_hot(one_hot(labels), scores, average)
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


@averages
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_f_score(case: Any, average: Any, beta: float) -> None:
    labels, scores = case
    expected = theirs.fbeta_score(
        labels, scores.argmax(1), beta=beta, labels=range(CLASSES), average=average, zero_division=0
    )
    actual = metrics.f_score_one_hot(one_hot(labels), scores, beta, average)
    np.testing.assert_allclose(actual, expected, rtol=1e-14)


@pytest.fixture
def binary(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores that are 0.02, 0.04 ... 0.98, so that many are equal."""
    labels = random.integers(0, 2, 300)
    scores = np.clip(np.round((random.normal(0.2 * labels + 0.4, 0.2)) * 50), 1, 49) / 50
    return labels, scores


def test_counts_at_thresholds(binary: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = binary
    thresholds = [-1, 0.3, scores[0], 0.55, 2]
    actual = metrics.confusion_matrix_at_thresholds(labels, scores, thresholds)
    for i, threshold in enumerate(thresholds):
        (tn, fp), (fn, tp) = theirs.confusion_matrix(labels, scores > threshold)
        assert {name: counts[i] for name, counts in actual.items()} == {
            "tp": tp, "fn": fn, "tn": tn, "fp": fp,
        }  # fmt: skip


def test_only_some_counts(binary: tuple[np.ndarray, np.ndarray]) -> None:
    actual = metrics.confusion_matrix_at_thresholds(*binary, [0.5], includes=["fp", "tp"])
    assert list(actual) == ["fp", "tp"]


def test_curves(binary: tuple[np.ndarray, np.ndarray]) -> None:
    """At thresholds just below each distinct score, which are the ones scikit-learn takes."""
    labels, scores = binary
    fpr, tpr, thresholds = theirs.roc_curve(labels, scores, drop_intermediate=False)
    values = metrics.confusion_matrix_at_thresholds(labels, scores, (thresholds - 0.01).tolist())
    actual_fpr, actual_tpr = metrics.roc_pr_curve(values, "ROC")
    np.testing.assert_allclose(actual_fpr, fpr, rtol=1e-14)
    np.testing.assert_allclose(actual_tpr, tpr, rtol=1e-14)
    precision, recall, _ = theirs.precision_recall_curve(labels, scores)
    actual_recall, actual_precision = metrics.roc_pr_curve(values, "PR")
    np.testing.assert_allclose(actual_recall, recall[::-1], rtol=1e-14)
    np.testing.assert_allclose(actual_precision, precision[::-1], rtol=1e-14)


def test_area(binary: tuple[np.ndarray, np.ndarray]) -> None:
    """With a threshold between any two scores the area is that of the whole curve."""
    labels, scores = binary
    expected = theirs.roc_auc_score(labels, scores)
    assert 0.6 < expected < 0.9
    assert metrics.auc(labels, scores, num_thresholds=101 * 2) == pytest.approx(expected, rel=1e-13)
    precision, recall, _ = theirs.precision_recall_curve(labels, scores)
    area = metrics.auc(labels[:, None], scores[:, None], 101 * 2, curve="PR")
    assert area == pytest.approx(theirs.auc(recall, precision), rel=1e-13)


def test_area_of_extremes() -> None:
    labels = np.array([0, 0, 1, 1])
    assert metrics.auc(labels, [0.0, 0.1, 0.9, 1.0]) == 1
    assert metrics.auc(labels, [1.0, 0.9, 0.1, 0.0]) == 0
    assert metrics.auc(labels, [0.5, 0.5, 0.5, 0.5]) == 0.5


def test_area_without_negatives_is_unknown() -> None:
    assert np.isnan(metrics.auc([1, 1], [0.2, 0.3]))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: metrics.roc_pr_curve({"tp": 1, "fp": 1, "fn": 1, "tn": 1}, "roc"), "'roc'"),  # pyright: ignore
        (lambda: metrics.confusion_matrix_at_thresholds([0], [0], [0], ["ok"]), "'ok'"),
        (lambda: metrics.auc([0, 1], [0, 1], 1), "two thresholds"),
        (lambda: metrics.f_score_one_hot(np.eye(2), np.eye(2), average="none"), "'none'"),  # pyright: ignore
        (lambda: metrics.confusion_matrix_one_hot(np.eye(2), np.ones((2, 3))), "belong together"),
    ],
)
def test_wrong_use(call: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        call()
