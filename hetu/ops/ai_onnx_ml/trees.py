"""Tree ensembles."""

from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from hetu.errors import ModelError
from hetu.ops.forest import Forest, aggregated, numbered_forest, split_forest
from hetu.ops.kinds import Floats, Ints, Strs, Tensor
from hetu.ops.registry import op
from hetu.ops.scores import labels, rows, transformed

AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@op("TreeEnsemble", since=5, domain="ai.onnx.ml")
def tree_ensemble(
    x: Tensor,
    *,
    aggregate_function: int = 1,
    leaf_targetids: Ints,
    leaf_weights: Tensor,
    membership_values: Tensor | None = None,
    n_targets: int | None = None,
    nodes_falseleafs: Ints,
    nodes_falsenodeids: Ints,
    nodes_featureids: Ints,
    nodes_hitrates: Tensor | None = None,
    nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Tensor,
    nodes_splits: Tensor,
    nodes_trueleafs: Ints,
    nodes_truenodeids: Ints,
    post_transform: int = 0,
    tree_roots: Ints,
) -> Tensor:
    x = rows(x)
    forest = split_forest(
        tree_roots, nodes_featureids, nodes_splits, nodes_modes,
        nodes_truenodeids, nodes_trueleafs, nodes_falsenodeids, nodes_falseleafs,
        nodes_missing_value_tracks_true, leaf_targetids, leaf_weights, membership_values,
        count=_count(n_targets, leaf_targetids), device=x.device, dtype=_compute_dtype(x),
    )  # fmt: skip
    scores = aggregated(forest, x, AGGREGATES[aggregate_function])
    return transformed(scores, TRANSFORMS[post_transform]).to(x.dtype)


@op("TreeEnsembleRegressor", since=3, domain="ai.onnx.ml")
def tree_ensemble_regressor(
    x: Tensor,
    *,
    aggregate_function: str = "SUM",
    base_values: Floats = (),
    base_values_as_tensor: Tensor | None = None,
    n_targets: int | None = None,
    nodes_falsenodeids: Ints = (),
    nodes_featureids: Ints = (),
    nodes_hitrates: Floats = (),
    nodes_hitrates_as_tensor: Tensor | None = None,
    nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Strs = (),
    nodes_nodeids: Ints = (),
    nodes_treeids: Ints = (),
    nodes_truenodeids: Ints = (),
    nodes_values: Floats = (),
    nodes_values_as_tensor: Tensor | None = None,
    post_transform: str = "NONE",
    target_ids: Ints = (),
    target_nodeids: Ints = (),
    target_treeids: Ints = (),
    target_weights: Floats = (),
    target_weights_as_tensor: Tensor | None = None,
) -> Tensor:
    x = rows(x)
    forest = numbered_forest(
        nodes_treeids, nodes_nodeids, nodes_featureids, nodes_values, nodes_values_as_tensor,
        nodes_modes, nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true,
        target_treeids, target_nodeids, target_ids, target_weights, target_weights_as_tensor,
        count=_count(n_targets, target_ids), device=x.device,
        dtype=_compute_dtype(x, nodes_values_as_tensor, target_weights_as_tensor),
    )  # fmt: skip
    scores = aggregated(forest, x, aggregate_function)
    scores = scores + _base(base_values, base_values_as_tensor, scores)
    return transformed(scores, post_transform).float()


@op("TreeEnsembleRegressor", domain="ai.onnx.ml")
def tree_ensemble_regressor_1(
    x: Tensor,
    *,
    aggregate_function: str = "SUM",
    base_values: Floats = (),
    n_targets: int | None = None,
    nodes_falsenodeids: Ints = (),
    nodes_featureids: Ints = (),
    nodes_hitrates: Floats = (),
    nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Strs = (),
    nodes_nodeids: Ints = (),
    nodes_treeids: Ints = (),
    nodes_truenodeids: Ints = (),
    nodes_values: Floats = (),
    post_transform: str = "NONE",
    target_ids: Ints = (),
    target_nodeids: Ints = (),
    target_treeids: Ints = (),
    target_weights: Floats = (),
) -> Tensor:
    return tree_ensemble_regressor(
        x, aggregate_function=aggregate_function, base_values=base_values, n_targets=n_targets,
        nodes_falsenodeids=nodes_falsenodeids, nodes_featureids=nodes_featureids,
        nodes_missing_value_tracks_true=nodes_missing_value_tracks_true, nodes_modes=nodes_modes,
        nodes_nodeids=nodes_nodeids, nodes_treeids=nodes_treeids,
        nodes_truenodeids=nodes_truenodeids, nodes_values=nodes_values,
        post_transform=post_transform, target_ids=target_ids, target_nodeids=target_nodeids,
        target_treeids=target_treeids, target_weights=target_weights,
    )  # fmt: skip


@op("TreeEnsembleClassifier", since=3, domain="ai.onnx.ml")
def tree_ensemble_classifier(
    x: Tensor,
    *,
    base_values: Floats = (),
    base_values_as_tensor: Tensor | None = None,
    class_ids: Ints = (),
    class_nodeids: Ints = (),
    class_treeids: Ints = (),
    class_weights: Floats = (),
    class_weights_as_tensor: Tensor | None = None,
    classlabels_int64s: Ints = (),
    classlabels_strings: Strs = (),
    nodes_falsenodeids: Ints = (),
    nodes_featureids: Ints = (),
    nodes_hitrates: Floats = (),
    nodes_hitrates_as_tensor: Tensor | None = None,
    nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Strs = (),
    nodes_nodeids: Ints = (),
    nodes_treeids: Ints = (),
    nodes_truenodeids: Ints = (),
    nodes_values: Floats = (),
    nodes_values_as_tensor: Tensor | None = None,
    post_transform: str = "NONE",
) -> tuple[Any, Tensor]:
    x = rows(x)
    forest = numbered_forest(
        nodes_treeids, nodes_nodeids, nodes_featureids, nodes_values, nodes_values_as_tensor,
        nodes_modes, nodes_truenodeids, nodes_falsenodeids, nodes_missing_value_tracks_true,
        class_treeids, class_nodeids, class_ids, class_weights, class_weights_as_tensor,
        count=len(classlabels_strings or classlabels_int64s), device=x.device,
        dtype=_compute_dtype(x, nodes_values_as_tensor, class_weights_as_tensor),
    )  # fmt: skip
    scores = _class_scores(forest, x, base_values, base_values_as_tensor, post_transform)
    classes = scores.argmax(1)
    scores = transformed(scores, post_transform).float()
    return labels(classes, classlabels_int64s, classlabels_strings), scores


@op("TreeEnsembleClassifier", domain="ai.onnx.ml")
def tree_ensemble_classifier_1(
    x: Tensor,
    *,
    base_values: Floats = (),
    class_ids: Ints = (),
    class_nodeids: Ints = (),
    class_treeids: Ints = (),
    class_weights: Floats = (),
    classlabels_int64s: Ints = (),
    classlabels_strings: Strs = (),
    nodes_falsenodeids: Ints = (),
    nodes_featureids: Ints = (),
    nodes_hitrates: Floats = (),
    nodes_missing_value_tracks_true: Ints = (),
    nodes_modes: Strs = (),
    nodes_nodeids: Ints = (),
    nodes_treeids: Ints = (),
    nodes_truenodeids: Ints = (),
    nodes_values: Floats = (),
    post_transform: str = "NONE",
) -> tuple[Any, Tensor]:
    return tree_ensemble_classifier(
        x, base_values=base_values, class_ids=class_ids, class_nodeids=class_nodeids,
        class_treeids=class_treeids, class_weights=class_weights,
        classlabels_int64s=classlabels_int64s, classlabels_strings=classlabels_strings,
        nodes_falsenodeids=nodes_falsenodeids, nodes_featureids=nodes_featureids,
        nodes_missing_value_tracks_true=nodes_missing_value_tracks_true, nodes_modes=nodes_modes,
        nodes_nodeids=nodes_nodeids, nodes_treeids=nodes_treeids,
        nodes_truenodeids=nodes_truenodeids, nodes_values=nodes_values,
        post_transform=post_transform,
    )  # fmt: skip


def _count(n_targets: int | None, targets: Ints) -> int:
    return max(targets, default=0) + 1 if n_targets is None else n_targets


def _compute_dtype(x: Tensor, *tables: Tensor | None) -> torch.dtype:
    """Double where the samples or one of the tables are, otherwise float."""
    dtypes = [table.dtype for table in tables if table is not None]
    return torch.float64 if torch.float64 in (x.dtype, *dtypes) else torch.float32


def _base(values: Floats, values_as_tensor: Tensor | None, scores: Tensor) -> Tensor:
    """What is added to the scores of each target; a single value is the first target's."""
    given = values_as_tensor
    base = torch.tensor(values) if given is None else given
    missing = scores.shape[1] - len(base)
    if missing < 0:
        raise ModelError(f"{len(base)} base values, but only {scores.shape[1]} targets")
    return F.pad(base.to(scores), (0, missing))


def _class_scores(
    forest: Forest, x: Tensor, base: Floats, base_as_tensor: Tensor | None, post_transform: str
) -> Tensor:
    """The scores before the transform.

    Of two classes, the trees may vote for the second alone, as target 0. Its weights, if none is
    negative, are probabilities, unless the transform is to make them such.
    """
    scores = aggregated(forest, x, "SUM")
    scores = scores + _base(base, base_as_tensor, scores)
    n_bases = len(base) if base_as_tensor is None else len(base_as_tensor)
    if forest.count != 2 or forest.votes.voted != (0,) or n_bases == 2:
        return scores
    score = scores[:, :1]
    is_probability = forest.votes.is_nonnegative and post_transform in ("NONE", "PROBIT")
    return torch.cat([1 - score if is_probability else -score, score], 1)
