"""Calls of tree ensembles: random trees, some of a single leaf."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.support.examples import Call, Random, example
from tests.versions.ml import ML, classes, near, numbers, some, transform

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
MEMBER = 6
CHILD_COLUMNS = ("truenodeids", "trueleafs", "falsenodeids", "falseleafs")
FEATURES = 3


@dataclass
class Nodes:
    """The nodes of an ensemble: (tree, number, feature, split, mode, true, false), leaves too."""

    listed: list[tuple[int, int, int, float, str, int, int]] = field(default_factory=list)
    leaves: list[tuple[int, int]] = field(default_factory=list)

    def grow(self, random: Random, tree: int, modes: tuple[str, ...]) -> None:
        """Add a tree."""
        pending, fresh = [(0, random.integer(0, 3))], 1
        while pending:
            number, depth = pending.pop()
            if depth == 0:
                self.listed.append((tree, number, 0, 0.0, "LEAF", 0, 0))
                self.leaves.append((tree, number))
                continue
            split = random.integer(-9, 9) / 2
            node = (tree, number, random.integer(0, FEATURES - 1), split, random.choice(*modes))
            self.listed.append((*node, fresh, fresh + 1))
            pending += [(fresh, random.integer(0, depth - 1)), (fresh + 1, depth - 1)]
            fresh += 2

    def attributes(self, random: Random, as_tensor: bool) -> dict[str, Any]:
        """The attributes that describe the nodes, in the form of versions 1 and 3."""
        trees, numbers, features, splits, modes, true, false = map(
            list, zip(*self.listed, strict=True)
        )
        attributes: dict[str, Any] = {
            "nodes_treeids": trees, "nodes_nodeids": numbers, "nodes_featureids": features,
            "nodes_modes": modes, "nodes_truenodeids": true, "nodes_falsenodeids": false,
        } | floats("nodes_values", splits, as_tensor)  # fmt: skip
        if random.integer(0, 1):
            tracks = [0 if mode == "LEAF" else random.integer(0, 1) for mode in modes]
            attributes["nodes_missing_value_tracks_true"] = tracks
        return attributes


def ensemble(random: Random) -> Nodes:
    """Some trees, often of one mode."""
    nodes = Nodes()
    modes = random.choice(MODES, *((mode,) for mode in MODES))
    for tree in range(random.integer(1, 6)):
        nodes.grow(random, tree, modes)
    return nodes


def floats(name: str, values: Any, as_tensor: bool) -> dict[str, Any]:
    """Numbers as the attribute of float32, or as the tensor of float64."""
    return {f"{name}_as_tensor": np.array(values)} if as_tensor else {name: list(values)}


def samples(random: Random, *dtypes: Any) -> np.ndarray:
    """A batch of samples, some values missing."""
    x = numbers(random, random.integer(1, 8), FEATURES, dtypes=dtypes)
    if x.dtype.kind == "f":
        x = np.where(random.source.random(x.shape) < 0.1, np.array(np.nan, x.dtype), x)
    return x


@example("TreeEnsembleRegressor", ML)
def tree_ensemble_regressor(random: Random, version: int) -> Call:
    x = samples(random, np.float32, np.float64)
    # ONNX Runtime takes tensors in the type of the input only
    as_tensor = version >= 3 and x.dtype == np.float64
    nodes, count = ensemble(random), random.integer(1, 3)
    votes = [(*leaf, target) for leaf in nodes.leaves for target in range(count)]
    trees, numbers, targets = map(list, zip(*votes, strict=True))
    attributes = nodes.attributes(random, as_tensor) | {
        "target_treeids": trees, "target_nodeids": numbers, "target_ids": targets,
        "n_targets": count,
    }  # fmt: skip
    attributes |= floats("target_weights", random.floats(len(votes)).tolist(), as_tensor)
    if random.integer(0, 1):
        attributes |= floats("base_values", random.floats(count).tolist(), as_tensor)
    names = ("AVERAGE", "SUM", "MIN", "MAX")
    attributes |= random.choice({}, *({"aggregate_function": name} for name in names))
    return near([x], attributes | transform(random, count), 64)


@example("TreeEnsembleClassifier", ML)
def tree_ensemble_classifier(random: Random, version: int) -> Call:
    x = samples(random, np.float32, np.float64, np.int64, np.int32)
    as_tensor = version >= 3 and x.dtype == np.float64
    nodes = ensemble(random)
    # Of two classes that are both voted for, ONNX Runtime returns 1 and 0 whatever the labels are.
    # Where the second alone is voted for, as class 0, it leaves out the transforms but LOGISTIC,
    # and compares with 0.5 before LOGISTIC if no weight is negative.
    is_binary = random.integer(0, 1)
    count = 2 if is_binary else random.integer(3, 4)
    votes = [(*leaf, i) for leaf in nodes.leaves for i in range(1 if is_binary else count)]
    trees, numbers, ids = map(list, zip(*votes, strict=True))
    weights = random.floats(len(votes))
    chosen = transform(random, count)
    if is_binary:
        weights[0] = -1
        chosen = random.choice({}, {"post_transform": "LOGISTIC"})
        if not chosen and random.integer(0, 1):
            weights = np.abs(weights) / 9
    attributes = nodes.attributes(random, as_tensor) | {
        "class_treeids": trees, "class_nodeids": numbers, "class_ids": ids,
    } | floats("class_weights", weights.tolist(), as_tensor)  # fmt: skip
    if random.integer(0, 1):
        base = random.floats(1 if is_binary else count).tolist()
        attributes |= floats("base_values", base, as_tensor)
    labels = classes(random, count, "classlabels_int64s")
    return near([x], attributes | chosen | labels, 64, outputs=2)


@dataclass
class Split:
    """The nodes of an ensemble whose leaves are listed apart, as version 5 has them."""

    columns: dict[str, list[Any]] = field(
        default_factory=lambda: {
            name: [] for name in ("featureids", "splits", "modes", *CHILD_COLUMNS)
        }
    )
    members: list[float] = field(default_factory=list)
    leaves: int = 0

    def grow(self, random: Random, depth: int, modes: Sequence[int]) -> int:
        """Add an inner node and what is below it; returns its position."""
        mode, own = random.choice(*modes), len(self.columns["modes"])
        self.columns["featureids"].append(random.integer(0, FEATURES - 1))
        self.columns["splits"].append(random.integer(-9, 9) / 2)
        self.columns["modes"].append(mode)
        if mode == MEMBER:
            # ONNX Runtime has sets of integers only, and finds 1.5 in a set that 1 is in
            self.members += [*some(random, range(-9, 10))[:5], np.nan]
        for name in CHILD_COLUMNS:
            self.columns[name].append(0)
        for side in ("true", "false"):
            is_leaf = depth == 0 or random.integer(0, 3) == 0
            below = self.leaf() if is_leaf else self.grow(random, depth - 1, modes)
            self.columns[f"{side}nodeids"][own] = below
            self.columns[f"{side}leafs"][own] = int(is_leaf)
        return own

    def leaf(self) -> int:
        """Add a leaf."""
        self.leaves += 1
        return self.leaves - 1


@example("TreeEnsemble", ML)
def tree_ensemble(random: Random, version: int) -> Call:
    # ONNX Runtime has no float16
    x = samples(random, np.float32, np.float64)
    nodes, count = Split(), random.integer(1, 3)
    modes = random.choice(range(7), range(6), *((mode,) for mode in range(7)))
    roots = [nodes.grow(random, random.integer(0, 3), modes) for _ in range(random.integer(1, 6))]
    columns = {f"nodes_{name}": column for name, column in nodes.columns.items()}
    attributes = columns | {
        "tree_roots": roots,
        "nodes_modes": np.array(columns["nodes_modes"], np.uint8),
        "nodes_splits": np.array(columns["nodes_splits"], x.dtype),
        "leaf_targetids": random.integers(nodes.leaves, low=0, high=count - 1).tolist(),
        "leaf_weights": random.floats(nodes.leaves, dtype=x.dtype),
        "n_targets": count,
    }
    if nodes.members:
        x = np.rint(x)
        attributes["membership_values"] = np.array(nodes.members, x.dtype)
    if random.integer(0, 1):
        tracks = random.integers(len(columns["nodes_featureids"]), low=0, high=1).tolist()
        attributes["nodes_missing_value_tracks_true"] = tracks
    attributes |= random.choice({}, *({"aggregate_function": i} for i in range(4)))
    # ONNX Runtime takes SOFTMAX (1) for LOGISTIC (2) and the other way round
    more = random.choice({}, *({"post_transform": i} for i in ((0, 3) if count > 1 else (0,))))
    return near([x], attributes | more, 64)
