"""Pipelines from scikit-learn through skl2onnx: loaded, compared, exported unchanged."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    LabelEncoder,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, OneClassSVM

from hetu.onnx import load_onnx
from hetu.onnx.hetu2onnx import export
from hetu.runtime.executor import Executor
from tests.support.compare import assert_same_model

IRIS = load_iris(return_X_y=True)
CANCER = load_breast_cancer(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])

OPSETS = {"": 18, "ai.onnx.ml": 3}

RTOL = 2e-5
"""Sums of up to a few hundred float32 numbers, in another order than ONNX Runtime's."""

SUM_ATOL = 1e-4
"""For sums whose terms are some hundred times larger than they are."""

pytestmark = pytest.mark.verifies("results", "export", exporter="skl2onnx")

SKLEARN_ATOL = 1e-4
"""scikit-learn computes in double, and a model in float32."""


def name(estimator: Any) -> str:
    """A test's name: the class, or the classes of a pipeline's steps."""
    steps = getattr(estimator, "steps", [("", estimator)])
    return "-".join(type(step).__name__ for _, step in steps)


CLASSIFIERS = [
    LogisticRegression(max_iter=1000),
    RandomForestClassifier(n_estimators=20, random_state=0),
    GradientBoostingClassifier(n_estimators=10, random_state=0),
    SVC(),
    SVC(kernel="poly", probability=True, random_state=0),
    make_pipeline(StandardScaler(), SVC(kernel="linear", probability=True, random_state=0)),
    make_pipeline(Normalizer("l1"), LogisticRegression(max_iter=1000)),
    AdaBoostClassifier(n_estimators=5, random_state=0),
    GaussianNB(),
    make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
    make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=50, random_state=0)),
]
REGRESSORS = [
    LinearRegression(),
    RandomForestRegressor(n_estimators=20, random_state=0),
    GradientBoostingRegressor(n_estimators=10, random_state=0),
    make_pipeline(StandardScaler(), SVR()),
    KNeighborsRegressor(5),
    GaussianProcessRegressor(alpha=0.1),
]


def run(model: onnx.ModelProto, x: Any, path: Path) -> list[Any]:
    """hetu's results, after it was seen to export the model as it was."""
    loaded = load_onnx(model)
    executor = Executor(list(loaded.outputs.values()))
    inputs, outputs = list(loaded.inputs.values()), list(loaded.outputs.values())
    assert_same_model(export(executor, inputs, outputs, path), model)
    return executor.run(feed_dict={inputs[0]: x}, convert_to_numpy_ret_vals=True)


def reference(model: onnx.ModelProto, x: Any) -> list[Any]:
    """ONNX Runtime's results."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})


def assert_close(actual: Any, expected: Any, rtol: float, atol: float = 1e-6) -> None:
    """Equal labels and keys, close numbers."""
    if isinstance(expected, list | tuple):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e, rtol, atol)
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        assert_close(list(actual.values()), list(expected.values()), rtol, atol)
    elif np.asarray(expected).dtype.kind in "fc":
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("zipmap", [True, False], ids=["maps", "tensors"])
@pytest.mark.parametrize("data", [IRIS, CANCER], ids=["iris", "cancer"])
@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_classifier(
    estimator: Any, data: tuple[np.ndarray, np.ndarray], zipmap: bool, tmp_path: Path
) -> None:
    x, y = data[0].astype(np.float32), NAMES[data[1]] if zipmap else data[1]
    fitted = clone(estimator).fit(x, y)
    zipmap = zipmap and hasattr(fitted, "predict_proba")
    model = to_onnx(fitted, x[:1], options={"zipmap": zipmap}, target_opset=OPSETS)
    labels, scores = run(model, x, tmp_path / "model.onnx")
    atol = SUM_ATOL if "SVC" in name(estimator) else 1e-6
    assert_close([labels, scores], reference(model, x), RTOL, atol)
    np.testing.assert_array_equal(labels, fitted.predict(x))
    if hasattr(fitted, "predict_proba"):
        probabilities = [list(row.values()) for row in scores] if zipmap else scores
        np.testing.assert_allclose(probabilities, fitted.predict_proba(x), atol=SKLEARN_ATOL)


@pytest.mark.parametrize("estimator", REGRESSORS, ids=name)
def test_regressor(estimator: Any, tmp_path: Path) -> None:
    x, y = DIABETES[0].astype(np.float32), DIABETES[1]
    fitted = clone(estimator).fit(x, y)
    model = to_onnx(fitted, x[:1], target_opset=OPSETS)
    (result,) = run(model, x, tmp_path / "model.onnx")
    assert_close([result], reference(model, x), RTOL)
    np.testing.assert_allclose(result[:, 0], fitted.predict(x), rtol=1e-3)


@pytest.mark.parametrize("estimator", [OneClassSVM(), IsolationForest(random_state=0)])
def test_outliers(estimator: Any, tmp_path: Path) -> None:
    x = IRIS[0].astype(np.float32)
    fitted = clone(estimator).fit(x)
    model = to_onnx(fitted, x[:1], target_opset=OPSETS)
    labels, scores = run(model, x, tmp_path / "model.onnx")
    expected_labels, expected_scores = reference(model, x)
    assert_close(scores, expected_scores, RTOL, SUM_ATOL)
    # support vectors lie on the border, where the last bit decides
    is_clear = np.abs(expected_scores.ravel()) > SUM_ATOL
    np.testing.assert_array_equal(labels[is_clear], expected_labels[is_clear])
    np.testing.assert_array_equal(labels.ravel()[is_clear], fitted.predict(x)[is_clear])


@pytest.mark.parametrize(
    "estimator", [Binarizer(threshold=3), Normalizer(), StandardScaler()], ids=str
)
def test_scaling(estimator: Any, tmp_path: Path) -> None:
    x = IRIS[0].astype(np.float32)
    fitted = clone(estimator).fit(x)
    model = to_onnx(fitted, x[:1], target_opset=OPSETS)
    (result,) = run(model, x, tmp_path / "model.onnx")
    assert_close([result], reference(model, x), RTOL)
    np.testing.assert_allclose(result, fitted.transform(x), rtol=1e-4, atol=1e-6)


WORDS = np.array([["red", "big"], ["blue", "small"], ["red", "small"], ["green", "big"]], object)


@pytest.mark.parametrize(
    "encoder", [OneHotEncoder(sparse_output=False), OrdinalEncoder(dtype=np.int64)], ids=str
)
def test_words(encoder: Any, tmp_path: Path) -> None:
    fitted = clone(encoder).fit(WORDS)
    types = [("x", StringTensorType([None, 2]))]
    model = to_onnx(fitted, initial_types=types, target_opset=OPSETS)
    (result,) = run(model, WORDS, tmp_path / "model.onnx")
    assert_close([result], reference(model, WORDS), 0, 0)
    np.testing.assert_array_equal(result, fitted.transform(WORDS))


def test_label_encoder(tmp_path: Path) -> None:
    fitted = LabelEncoder().fit(WORDS[:, 0])
    types = [("x", StringTensorType([None]))]
    model = to_onnx(fitted, initial_types=types, target_opset=OPSETS)
    (result,) = run(model, WORDS[:, 0], tmp_path / "model.onnx")
    assert_close([result], reference(model, WORDS[:, 0]), 0, 0)
    np.testing.assert_array_equal(result, fitted.transform(WORDS[:, 0]))


def test_mixture(tmp_path: Path) -> None:
    x = IRIS[0].astype(np.float32)
    fitted = GaussianMixture(3, random_state=0).fit(x)
    model = to_onnx(fitted, x[:1], target_opset=OPSETS)
    labels, probabilities, *_ = run(model, x, tmp_path / "model.onnx")
    assert_close([labels, probabilities], reference(model, x)[:2], 1e-3, 1e-5)
    np.testing.assert_array_equal(labels.ravel(), fitted.predict(x))


def test_columns(tmp_path: Path) -> None:
    """Numbers with gaps beside words: one input each."""
    numbers, labels = IRIS[0][:40, :2].astype(np.float32), np.arange(40) % 2
    numbers[::7, 1] = np.nan
    words = np.tile(WORDS, (10, 1))
    fitted = make_pipeline(
        make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]), (OneHotEncoder(), [2, 3])
        ),
        GradientBoostingClassifier(n_estimators=5, random_state=0),
    ).fit(np.concatenate([numbers.astype(object), words], 1), labels)
    types = [("numbers", FloatTensorType([None, 2])), ("words", StringTensorType([None, 2]))]
    model = to_onnx(fitted, initial_types=types, options={"zipmap": False}, target_opset=OPSETS)
    feeds = {"numbers": numbers, "words": words}
    loaded = load_onnx(model)
    executor = Executor(list(loaded.outputs.values()))
    for size in (40, 3):
        part = {name: x[:size] for name, x in feeds.items()}
        actual = executor.run(feed_dict=part, convert_to_numpy_ret_vals=True)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        assert_close(actual, session.run(None, part), RTOL)
        given = np.concatenate([numbers[:size].astype(object), words[:size]], 1)
        np.testing.assert_array_equal(actual[0], fitted.predict(given))
    outputs = list(loaded.outputs.values())
    exported = export(executor, list(loaded.inputs.values()), outputs, tmp_path / "model.onnx")
    assert_same_model(exported, model)


TEXTS = np.array(
    ["the cat sat on the mat", "the dog ate the cat", "a dog and a cat", "mat on mat"], object
)


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2)], ids=str)
def test_text(ngrams: tuple[int, int], tmp_path: Path) -> None:
    fitted = TfidfVectorizer(ngram_range=ngrams).fit(TEXTS)
    types = [("x", StringTensorType([None, 1]))]
    options = {TfidfVectorizer: {"tokenexp": "[a-zA-Z]{2,}", "locale": "C.UTF-8"}}
    model = to_onnx(fitted, initial_types=types, options=options, target_opset=OPSETS)
    (result,) = run(model, TEXTS[:, None], tmp_path / "model.onnx")
    assert_close([result], reference(model, TEXTS[:, None]), RTOL)
    np.testing.assert_allclose(result, fitted.transform(TEXTS).toarray(), rtol=1e-5)


@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(binary=True),
        CountVectorizer(analyzer="char", ngram_range=(2, 3)),
        CountVectorizer(stop_words=["the"], lowercase=False),
        TfidfVectorizer(norm="l1"),
    ],
    ids=str,
)
def test_text_pipelines(vectorizer: Any, tmp_path: Path) -> None:
    fitted = make_pipeline(clone(vectorizer), LogisticRegression()).fit(TEXTS, [0, 1, 1, 0])
    words = {"locale": "C.UTF-8"}
    if vectorizer.analyzer == "word":
        words["tokenexp"] = "[a-zA-Z]{2,}"
    model = to_onnx(
        fitted, initial_types=[("x", StringTensorType([None]))], target_opset=OPSETS,
        options={type(vectorizer): words, LogisticRegression: {"zipmap": False}},
    )  # fmt: skip
    labels, scores = run(model, TEXTS, tmp_path / "model.onnx")
    assert_close([labels, scores], reference(model, TEXTS), RTOL)
    np.testing.assert_array_equal(labels, fitted.predict(TEXTS))
    np.testing.assert_allclose(scores, fitted.predict_proba(TEXTS), atol=SKLEARN_ATOL)
