"""What ONNX Runtime cannot be asked, or answers against the specification."""

from typing import Any

import numpy as np
import pytest

from hetu.errors import HetuError
from hetu.onnx import load_onnx
from hetu.runtime.executor import Executor
from tests.support.examples import Call
from tests.test_versions import build

ML = "ai.onnx.ml"

STUMP = {
    "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.0, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
}  # fmt: skip
"""A tree that tells negative numbers from positive ones."""

SIDES = np.array([[-1.0], [1.0]], np.float32)


def run(call: Call, op_type: str, version: int = 1) -> list[Any]:
    """hetu's results for a model of one node."""
    model = load_onnx(build(call, ML, op_type, version))
    feeds = {f"x{i}": x for i, x in enumerate(call.inputs)}
    return Executor(list(model.outputs.values())).run(
        feed_dict=feeds, convert_to_numpy_ret_vals=True
    )


def votes(ids: list[int], weights: list[float]) -> dict[str, Any]:
    """The stump's votes: in each of its two leaves, one for each class in `ids`."""
    n = len(ids)
    return STUMP | {
        "class_treeids": [0] * (2 * n), "class_nodeids": [1] * n + [2] * n,
        "class_ids": ids * 2, "class_weights": weights, "classlabels_int64s": [10, 20],
    }  # fmt: skip


def test_two_classes_have_their_labels() -> None:
    """ONNX Runtime answers 1 and 0 where both of two classes are voted for."""
    label, scores = run(
        Call([SIDES], votes([0, 1], [0.7, 0.3, 0.2, 0.8]), 2), "TreeEnsembleClassifier"
    )
    assert label.tolist() == [10, 20]
    np.testing.assert_allclose(scores, [[0.7, 0.3], [0.2, 0.8]], rtol=1e-6)


def test_logistic_votes_win_by_their_probability() -> None:
    """ONNX Runtime compares a positive score with 0.5 before it applies the logistic function."""
    attributes = votes([0], [0.3, 0.8]) | {"post_transform": "LOGISTIC"}
    label, scores = run(Call([SIDES], attributes, 2), "TreeEnsembleClassifier")
    assert label.tolist() == [20, 20]
    probability = 1 / (1 + np.exp([-0.3, -0.8]))
    np.testing.assert_allclose(scores, np.stack([1 - probability, probability], 1), rtol=1e-6)


def test_single_target_is_transformed() -> None:
    """ONNX Runtime leaves LOGISTIC out where there is one target."""
    attributes = STUMP | {
        "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
        "target_weights": [0.5, -2.0], "n_targets": 1, "post_transform": "LOGISTIC",
    }  # fmt: skip
    (y,) = run(Call([SIDES], attributes), "TreeEnsembleRegressor")
    np.testing.assert_allclose(y[:, 0], 1 / (1 + np.exp([-0.5, 2.0])), rtol=1e-6)


@pytest.mark.parametrize("transform", [1, 2])
def test_transform_numbers(transform: int) -> None:
    """ONNX Runtime takes 1 for LOGISTIC and 2 for SOFTMAX; ONNX says the opposite."""
    attributes = {
        "tree_roots": [0], "nodes_featureids": [0], "nodes_splits": np.zeros(1, np.float32),
        "nodes_modes": np.zeros(1, np.uint8), "nodes_truenodeids": [0], "nodes_trueleafs": [1],
        "nodes_falsenodeids": [1], "nodes_falseleafs": [1], "leaf_targetids": [0, 1],
        "leaf_weights": np.array([0.5, 2.0], np.float32), "n_targets": 2,
        "post_transform": transform,
    }  # fmt: skip
    (y,) = run(Call([SIDES], attributes), "TreeEnsemble", 5)
    e = np.exp([[0.5, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True) if transform == 1 else e / (1 + e))


def test_half_precision_trees() -> None:
    attributes = {
        "tree_roots": [0], "nodes_featureids": [0], "nodes_splits": np.zeros(1, np.float16),
        "nodes_modes": np.zeros(1, np.uint8), "nodes_truenodeids": [0], "nodes_trueleafs": [1],
        "nodes_falsenodeids": [1], "nodes_falseleafs": [1], "leaf_targetids": [0, 0],
        "leaf_weights": np.array([0.5, 2.0], np.float16), "n_targets": 1,
    }  # fmt: skip
    (y,) = run(Call([SIDES.astype(np.float16)], attributes), "TreeEnsemble", 5)
    assert y.dtype == np.float16
    assert y.tolist() == [[0.5], [2.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nodes_truenodeids": [0, 0, 0]}, "leads back"),
        ({"nodes_truenodeids": [7, 0, 0]}, "has no node 7"),
        ({"class_nodeids": [1, 9]}, "has no node 9"),
        ({"class_ids": [0, 2]}, "votes for a target"),
        ({"base_values": [0.0, 1.0, 2.0]}, "3 base values"),
    ],
)
def test_broken_trees(change: dict[str, Any], message: str) -> None:
    call = Call([SIDES], votes([0], [0.3, 0.8]) | change, 2)
    with pytest.raises(HetuError, match=message):
        run(call, "TreeEnsembleClassifier")


@pytest.mark.parametrize("scores", [[0.25, 0.5, 0.75]])
def test_probit(scores: list[float]) -> None:
    """The quartiles of the normal distribution, to the precision of the approximation."""
    attributes = {"coefficients": scores, "targets": 3, "post_transform": "PROBIT"}
    (y,) = run(Call([np.ones((1, 1), np.float32)], attributes), "LinearRegressor")
    np.testing.assert_allclose(y, [[-0.67449, 0.0, 0.67449]], atol=2e-3)


@pytest.mark.parametrize(
    ("map_", "vocabulary", "expected"),
    [
        ({"b": 2, "a": -1}, {"string_vocabulary": ["a", "c", "b"]}, np.array([[-1, 0, 2]])),
        ({3: 1.5}, {"int64_vocabulary": [3, 1]}, np.array([[1.5, 0.0]])),
        ({3: "x"}, {"int64_vocabulary": [3, 1]}, np.array([["x", ""]], object)),
    ],
)
def test_maps_of_other_types(
    map_: dict[Any, Any], vocabulary: dict[str, Any], expected: np.ndarray
) -> None:
    (y,) = run(Call([map_], vocabulary), "DictVectorizer")
    assert y.dtype == expected.dtype
    assert y.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("cast", "expected"),
    [
        ("TO_FLOAT", np.array([[0, 2, 0, 7]], np.float32)),
        ("TO_INT64", np.array([[0, 2, 0, 7]])),
        ("TO_STRING", np.array([["0.f", "2", "0.f", "7"]], object)),
    ],
)
def test_map_of_strings_cast(cast: str, expected: np.ndarray) -> None:
    attributes = {"cast_to": cast, "map_form": "SPARSE", "max_map": 4}
    (y,) = run(Call([{3: "7", 1: "2"}], attributes), "CastMap")
    assert y.dtype == expected.dtype
    assert y.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("op_type", "x", "attributes", "message"),
    [
        ("OneHotEncoder", np.array([9]), {"cats_int64s": [1], "zeros": 0}, "none of the categ"),
        ("DictVectorizer", {"z": 1.0}, {"string_vocabulary": ["a"]}, "'z' is not in the vocab"),
        ("CastMap", {9: 1.0}, {"map_form": "SPARSE"}, "key 9 is not below max_map"),
        ("ZipMap", np.ones((1, 3), np.float32), {"classlabels_int64s": [1]}, "1 labels for 3"),
        ("Normalizer", np.ones((1, 3), np.float32), {"norm": "L3"}, "'L3' is not MAX"),
        ("LinearRegressor", np.ones((1, 1), np.float32),
         {"coefficients": [1.0], "post_transform": "TANH"}, "'TANH' is not one of ONNX's"),
    ],
)  # fmt: skip
def test_refused(op_type: str, x: Any, attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(HetuError, match=message):
        run(Call([x], attributes), op_type)


def test_lookup_of_int32_and_repeated_keys() -> None:
    """Of equal keys the last counts from version 4 on."""
    attributes = {
        "keys_tensor": np.array([1, 2, 1], np.int32),
        "values_tensor": np.array([5, 6, 7], np.int16),
    }
    (y,) = run(Call([np.array([[1, 2], [3, 1]], np.int32)], attributes), "LabelEncoder", 4)
    assert y.dtype == np.int16
    assert y.tolist() == [[7, 6], [-1, 7]]


def test_model_without_samples() -> None:
    none = np.zeros((0, 1), np.float32)
    label, scores = run(Call([none], votes([0], [0.3, 0.8]), 2), "TreeEnsembleClassifier")
    assert label.shape == (0,)
    assert scores.shape == (0, 2)
