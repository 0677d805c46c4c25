"""Tree ensembles of ai.onnx.ml: nodes by tree and number; from version 5 on, leaves apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from hetu.ir import Attribute, Tensor, Value
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import FLOAT32, FLOAT64, DType

ML = "ai.onnx.ml"
MODES = (
    "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ",
    "BRANCH_MEMBER",
)  # fmt: skip
MEMBER = MODES.index("BRANCH_MEMBER")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")

_Vote = tuple[int, float]
"""A target and a weight."""

_Child = tuple[int, int]
"""A position, and whether it is among the leaves (1) or the inner nodes (0)."""


class _Node(NamedTuple):
    """A node as versions before 5 list it; `true` and `false` are the numbers of its children."""

    tree: int
    number: int
    feature: int
    split: float
    mode: str
    true: int
    false: int
    tracks: int


@dataclass(frozen=True, slots=True)
class _Forest:
    """Trees as versions before 5 list them, each with its root first; votes by tree and number."""

    trees: Sequence[Sequence[_Node]]
    votes: Mapping[tuple[int, int], Sequence[_Vote]]
    base: Sequence[float]
    n_targets: int


@up("TreeEnsembleRegressor", 5, ML)
def regressor(rewrite: Rewrite) -> Results:
    targets = rewrite.attribute("target_ids", ())
    n_targets = rewrite.attribute("n_targets") or max(targets, default=0) + 1
    forest = _read_forest(rewrite, "target", n_targets)
    aggregate = rewrite.attribute("aggregate_function", "SUM")
    transform = rewrite.attribute("post_transform", "NONE")
    return rewrite.cast(_scores(rewrite, forest, aggregate, transform), FLOAT32)


@up("TreeEnsembleClassifier", 5, ML)
def classifier(rewrite: Rewrite) -> Results:
    """The label of the largest score, and the scores after the transform."""
    attributes = rewrite.node.attributes
    texts, numbers = (attributes.get(f"classlabels_{kind}") for kind in ("strings", "int64s"))
    labels = np.array(texts.value, object) if texts else np.array(numbers.value if numbers else ())
    forest = _read_forest(rewrite, "class", len(labels))
    transform = rewrite.attribute("post_transform", "NONE")
    forest = _of_two_classes(forest, transform)
    raw = _scores(rewrite, forest, "SUM", "NONE")
    is_own = transform in ("SOFTMAX_ZERO", "PROBIT")
    scores = (
        _scores(rewrite, forest, "SUM", transform)
        if is_own
        else _transformed(rewrite, raw, transform)
    )
    place = rewrite.op("ArgMax", raw, axis=1, keepdims=0)
    return [rewrite.op("Gather", labels, place), rewrite.cast(scores, FLOAT32)]


def _of_two_classes(forest: _Forest, transform: str) -> _Forest:
    """Of two classes the trees may vote for the second alone, as the first.

    The other one's score is the opposite: of a probability, where no weight is negative, else of a
    number.
    """
    votes = [vote for leaf in forest.votes.values() for vote in leaf]
    if forest.n_targets != 2 or {target for target, _ in votes} != {0} or len(forest.base) == 2:
        return forest
    both = {
        leaf: [pair for _, weight in given for pair in ((0, -weight), (1, weight))]
        for leaf, given in forest.votes.items()
    }
    whole = all(weight >= 0 for _, weight in votes) and transform in ("NONE", "PROBIT")
    score = forest.base[0] if forest.base else 0.0
    return _Forest(forest.trees, both, (whole - score, score), 2)


def _read_forest(rewrite: Rewrite, side: str, n_targets: int) -> _Forest:
    """What the attributes list; `side` is how those of the votes begin."""
    names = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    columns = [_numbers(rewrite, f"nodes_{name}") for name in names]
    tracks = rewrite.attribute("nodes_missing_value_tracks_true") or (0,) * len(columns[0])
    nodes = [_Node(*row) for row in zip(*columns, tracks, strict=True)]
    trees: dict[int, list[_Node]] = {}
    for node in nodes:
        trees.setdefault(node.tree, []).append(node)
    votes = {(node.tree, node.number): list[_Vote]() for node in nodes if node.mode == "LEAF"}
    columns = [
        _numbers(rewrite, f"{side}_{name}") for name in ("treeids", "nodeids", "ids", "weights")
    ]
    for tree, number, target, weight in zip(*columns, strict=True):
        if (tree, number) in votes:
            votes[tree, number].append((target, weight))
    base = _numbers(rewrite, "base_values")
    return _Forest(list(trees.values()), votes, base, n_targets)


def _numbers(rewrite: Rewrite, name: str) -> Sequence[Any]:
    """An attribute's elements; a tensor may hold them, or stand in its place."""
    content = rewrite.attribute(f"{name}_as_tensor") or rewrite.attribute(name, ())
    return content.array.reshape(-1).tolist() if isinstance(content, Tensor) else content


def _scores(rewrite: Rewrite, forest: _Forest, aggregate: str, transform: str) -> Value:
    """A TreeEnsemble, with nodes beside it for what it does not do.

    ONNX Runtime takes its SOFTMAX for LOGISTIC and the other way round, so these are nodes too.
    """
    x, element = rewrite.given(0), _element(rewrite)
    split = _split(rewrite, forest, aggregate)
    is_whole = len(split.roots) == len(forest.trees)
    if aggregate == "SUM":
        for target, number in enumerate(forest.base):
            split.add_constant(split.leaf((target, number)))
    is_average = aggregate == "AVERAGE" and not is_whole
    is_shifted = aggregate != "SUM" and any(forest.base)
    is_apart = is_average or is_shifted or transform in ("SOFTMAX", "LOGISTIC")
    y = rewrite.op(
        "TreeEnsemble", rewrite.cast(x, element), domain=ML, n_targets=forest.n_targets,
        aggregate_function=AGGREGATES.index("SUM" if is_average else aggregate),
        post_transform=0 if is_apart else TRANSFORMS.index(transform),
        **split.attributes(element),
    )  # fmt: skip
    if is_average:
        y = rewrite.op("Div", y, rewrite.constant(len(forest.trees), element))
    if is_shifted:
        base = [*forest.base, *[0.0] * (forest.n_targets - len(forest.base))]
        y = rewrite.op("Add", y, rewrite.constant(base, element))
    return _transformed(rewrite, y, transform) if is_apart else y


def _transformed(rewrite: Rewrite, scores: Value, transform: str) -> Value:
    match transform:
        case "NONE":
            return scores
        case "SOFTMAX":
            return rewrite.op("Softmax", scores, axis=1)
        case "LOGISTIC":
            return rewrite.op("Sigmoid", scores)
    rewrite.fail(f"post_transform {transform} after averages or base values has no form there")


def _element(rewrite: Rewrite) -> DType:
    """What comparisons and sums are made in: float64 if the samples or a table are."""
    tables = (rewrite.attribute(name) for name in rewrite.node.attributes if name in _TABLES)
    is_double = rewrite.dtype(rewrite.given(0)) is FLOAT64
    return FLOAT64 if is_double or any(t.dtype is FLOAT64 for t in tables) else FLOAT32


_TABLES = ("nodes_values_as_tensor", "target_weights_as_tensor", "class_weights_as_tensor")


def _split(rewrite: Rewrite, forest: _Forest, aggregate: str) -> "_Split":
    """The forest with one vote a leaf: a tree for the first votes, one for the second, ..."""
    split = _Split()
    for nodes in forest.trees:
        votes = {n.number: forest.votes[n.tree, n.number] for n in nodes if n.mode == "LEAF"}
        if aggregate in ("MIN", "MAX") and not all(votes.values()):
            rewrite.fail(
                f"a leaf without a vote has no part in the {aggregate}; there each has one"
            )
        for turn in range(max(1, *map(len, votes.values()))):
            _add_tree(
                rewrite, split, nodes, {n: _vote(v, turn, aggregate) for n, v in votes.items()}
            )
    return split


def _vote(votes: Sequence[_Vote], turn: int, aggregate: str) -> _Vote:
    """A leaf's vote in the tree of a turn; what it has voted before changes no extreme."""
    if turn < len(votes):
        return votes[turn]
    return votes[-1] if aggregate in ("MIN", "MAX") else (0, 0.0)


def _add_tree(
    rewrite: Rewrite, split: "_Split", nodes: Sequence[_Node], votes: Mapping[int, _Vote]
) -> None:
    inner = [node for node in nodes if node.mode != "LEAF"]
    places = {node.number: (len(split.modes) + i, 0) for i, node in enumerate(inner)}
    places |= {number: (split.leaf(vote), 1) for number, vote in votes.items()}
    if not inner:
        return split.add_constant(places[nodes[0].number][0])
    split.roots.append(places[nodes[0].number][0])
    for node in inner:
        missing = {node.true, node.false} - places.keys()
        if missing:
            rewrite.fail(f"its tree {node.tree} has no node {min(missing)}")
        mode = MODES.index(node.mode)
        split.add(
            node.feature, node.split, mode, places[node.true], places[node.false], node.tracks
        )
    return None


@dataclass(slots=True)
class _Split:
    """Trees as version 5 lists them: columns of inner nodes, and leaves."""

    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    true: list[_Child] = field(default_factory=list)
    false: list[_Child] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    leaves: list[_Vote] = field(default_factory=list)

    def leaf(self, vote: _Vote) -> int:
        """Add a leaf; returns its position."""
        self.leaves.append(vote)
        return len(self.leaves) - 1

    def add(
        self, feature: int, split: float, mode: int,
        true: _Child, false: _Child, tracks: int,
    ) -> None:  # fmt: skip
        """Add an inner node."""
        columns = self.features, self.splits, self.modes, self.true, self.false, self.tracks
        row: tuple[Any, ...] = feature, split, mode, true, false, tracks
        for column, cell in zip(columns, row, strict=True):
            column.append(cell)

    def add_constant(self, leaf: int) -> None:
        """Add a tree of one leaf: a node whose ways both lead to it."""
        self.roots.append(len(self.modes))
        self.add(0, 0.0, 0, (leaf, 1), (leaf, 1), 0)

    def attributes(self, element: DType) -> Mapping[str, Any]:
        """The attributes of version 5; numbers are of the type of the samples."""
        (true, true_leaves), (false, false_leaves) = (
            zip(*side, strict=True) for side in (self.true, self.false)
        )
        targets, weights = zip(*self.leaves, strict=True)
        return {
            "tree_roots": self.roots,
            "nodes_featureids": self.features,
            "nodes_splits": np.array(self.splits, element.numpy),
            "nodes_modes": np.array(self.modes, np.uint8),
            "nodes_truenodeids": true,
            "nodes_trueleafs": true_leaves,
            "nodes_falsenodeids": false,
            "nodes_falseleafs": false_leaves,
            "nodes_missing_value_tracks_true": self.tracks,
            "leaf_targetids": targets,
            "leaf_weights": np.array(weights, element.numpy),
        }


@down("TreeEnsemble", 5, ML)
def numbered(rewrite: Rewrite) -> Results:
    """A TreeEnsembleRegressor, whose results are float32."""
    x = rewrite.given(0)
    element = rewrite.dtype(x)
    if element is FLOAT64:
        rewrite.fail(
            "its results are float64; before version 5 of ai.onnx.ml those of trees are float32"
        )
    read = _read_split(rewrite)
    pairs = [
        pair
        for tree, root in enumerate(rewrite.attribute("tree_roots"))
        for pair in read.tree(tree, root)
    ]
    nodes = [node for node, _ in pairs]
    votes = [(node.tree, node.number, *vote) for node, vote in pairs if vote is not None]
    trees, numbers, features, splits, modes, true, false, tracks = zip(*nodes, strict=True)
    vote_trees, vote_numbers, targets, weights = zip(*votes, strict=True)
    n_targets = rewrite.attribute("n_targets") or max(targets) + 1
    y = rewrite.op(
        "TreeEnsembleRegressor", rewrite.cast(x, FLOAT32), domain=ML,
        nodes_treeids=trees, nodes_nodeids=numbers, nodes_featureids=features, nodes_values=splits,
        nodes_modes=Attribute("strings", modes), nodes_truenodeids=true, nodes_falsenodeids=false,
        nodes_missing_value_tracks_true=tracks,
        target_treeids=vote_trees, target_nodeids=vote_numbers, target_ids=targets,
        target_weights=weights, n_targets=n_targets,
        aggregate_function=AGGREGATES[rewrite.attribute("aggregate_function", 1)],
        post_transform=TRANSFORMS[rewrite.attribute("post_transform", 0)],
    )  # fmt: skip
    return rewrite.cast(y, element)


def _read_split(rewrite: Rewrite) -> "_Columns":
    numbers = _numbers(rewrite, "nodes_modes")
    sets = iter(_sets(_numbers(rewrite, "membership_values")))
    splits = zip(numbers, _numbers(rewrite, "nodes_splits"), strict=True)
    targets, weights = (_numbers(rewrite, f"leaf_{name}") for name in ("targetids", "weights"))
    return _Columns(
        features=rewrite.attribute("nodes_featureids"),
        splits=[next(sets, [np.nan]) if mode == MEMBER else [split] for mode, split in splits],
        modes=["BRANCH_EQ" if mode == MEMBER else MODES[mode] for mode in numbers],
        true=_children(rewrite, "true"),
        false=_children(rewrite, "false"),
        tracks=rewrite.attribute("nodes_missing_value_tracks_true") or (0,) * len(numbers),
        leaves=list(zip(targets, weights, strict=True)),
    )


def _children(rewrite: Rewrite, side: str) -> list[_Child]:
    columns = (rewrite.attribute(f"nodes_{side}{name}") for name in ("nodeids", "leafs"))
    return list(zip(*columns, strict=True))


def _sets(listed: Sequence[float]) -> list[list[float]]:
    """The sets that nodes ask for, which NaN divides; in an empty one, nothing is."""
    sets: list[list[float]] = [[]]
    for number in listed:
        if np.isnan(number):
            sets.append([])
        else:
            sets[-1].append(number)
    return [numbers or [np.nan] for numbers in sets]


@dataclass(frozen=True, slots=True)
class _Columns:
    """What version 5 lists; a node is true where its mode is of one of its splits."""

    features: Sequence[int]
    splits: Sequence[Sequence[float]]
    modes: Sequence[str]
    true: Sequence[_Child]
    false: Sequence[_Child]
    tracks: Sequence[int]
    leaves: Sequence[_Vote]

    def tree(self, tree: int, root: int) -> list[tuple[_Node, _Vote | None]]:
        """The nodes of a tree by their numbers, and the votes of its leaves.

        A set becomes a chain of nodes that all lead to one node where they are true.
        """
        first = self._past_constants((root, 0))
        numbers, pending, fresh = {first: 0}, [first], count(1)
        listed: list[tuple[_Node, _Vote | None]] = []

        def number(child: _Child) -> int:
            child = self._past_constants(child)
            if child not in numbers:
                numbers[child] = next(fresh)
                pending.append(child)
            return numbers[child]

        while pending:
            place, is_leaf = pending.pop()
            own = numbers[place, is_leaf]
            if is_leaf:
                leaf = _Node(tree, own, 0, 0.0, "LEAF", 0, 0, 0)
                listed.append((leaf, self.leaves[place]))
                continue
            chain = [own, *(next(fresh) for _ in self.splits[place][1:])]
            ends = [*chain[1:], number(self.false[place])]
            for at, split, end in zip(chain, self.splits[place], ends, strict=True):
                node = _Node(
                    tree, at, self.features[place], split, self.modes[place],
                    number(self.true[place]), end, self.tracks[place],
                )  # fmt: skip
                listed.append((node, None))
        return sorted(listed, key=lambda pair: pair[0].number)

    def _past_constants(self, child: _Child) -> _Child:
        """What a node leads to whose ways both lead to one leaf."""
        place, is_leaf = child
        if is_leaf or self.true[place] != self.false[place] or not self.true[place][1]:
            return child
        return self.true[place]
