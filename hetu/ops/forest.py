"""Decision trees as tables, walked down by all samples in all trees at once."""

from dataclasses import dataclass

import numpy as np
import torch

from hetu.errors import ModelError
from hetu.ops.kinds import Floats, Ints, Strs, Tensor
from hetu.ops.prepared import prepared

MODES = (
    "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ",
    "BRANCH_MEMBER", "LEAF",
)  # fmt: skip
MEMBER, LEAF = MODES.index("BRANCH_MEMBER"), MODES.index("LEAF")


@dataclass(frozen=True, slots=True)
class Members:
    """The sets that nodes ask for: `sets[of_node, position in values]` tells whether it is in."""

    values: Tensor
    sets: Tensor
    of_node: Tensor


@dataclass(frozen=True, slots=True)
class Votes:
    """What leaves give: `weights[row]` to `targets[row]`, where `row` is `of_node`.

    Columns that a leaf does not need go to a target after the last. `voted` are the targets that
    some leaf gives to.
    """

    of_node: Tensor
    targets: Tensor
    weights: Tensor
    voted: tuple[int, ...]
    is_nonnegative: bool


@dataclass(frozen=True, slots=True)
class Forest:
    """Tables over the nodes of all trees. A leaf is its own child.

    `child` holds the nodes for false and for true by turns, `modes` the modes that there are,
    `tracks` where NaN counts as true, if anywhere; `count` is the number of targets.
    """

    roots: Tensor
    depth: int
    feature: Tensor
    split: Tensor
    child: Tensor
    mode: Tensor
    modes: tuple[int, ...]
    tracks: Tensor | None
    members: Members | None
    votes: Votes
    count: int


def aggregated(forest: Forest, x: Tensor, aggregate: str) -> Tensor:
    """The scores of each sample by target, (N, count), in the forest's type."""
    votes = forest.votes
    row = votes.of_node[_leaves(forest, x.to(forest.split.dtype))]
    targets, weights = votes.targets[row].flatten(1), votes.weights[row].flatten(1)
    scores = weights.new_zeros(len(x), forest.count + 1)
    if aggregate in ("MIN", "MAX"):
        reduction = f"a{aggregate.lower()}"
        scores = scores.scatter_reduce(1, targets, weights, reduction, include_self=False)
    else:
        scores = scores.scatter_add(1, targets, weights)
    scores = scores[:, : forest.count]
    return scores / len(forest.roots) if aggregate == "AVERAGE" else scores


def _leaves(forest: Forest, x: Tensor) -> Tensor:
    """The leaf that each sample reaches in each tree, (N, T)."""
    nodes = forest.roots.expand(len(x), -1)
    for _ in range(forest.depth):
        value = x.gather(1, _at(forest.feature, nodes))
        nodes = _at(forest.child, 2 * nodes + _holds(forest, nodes, value))
    return nodes


def _at(table: Tensor, index: Tensor) -> Tensor:
    """`table[index]`; several times as fast as torch's indexing."""
    return table.index_select(0, index.flatten()).view(index.shape)


def _holds(forest: Forest, nodes: Tensor, value: Tensor) -> Tensor:
    """Whether each node's condition is true of the value."""
    split = _at(forest.split, nodes)
    results = [(mode, _compared(forest, mode, nodes, value, split)) for mode in forest.modes]
    holds = results[0][1]
    for mode, result in results[1:]:
        holds = torch.where(_at(forest.mode, nodes) == mode, result, holds)
    if forest.tracks is not None:
        holds = holds | (torch.isnan(value) & _at(forest.tracks, nodes))
    return holds


def _compared(forest: Forest, mode: int, nodes: Tensor, value: Tensor, split: Tensor) -> Tensor:
    if mode == MEMBER and forest.members is not None:
        return _is_member(forest.members, nodes, value)
    compare = (torch.le, torch.lt, torch.ge, torch.gt, torch.eq, torch.ne)[mode]
    return compare(value, split)


def _is_member(members: Members, nodes: Tensor, value: Tensor) -> Tensor:
    count = len(members.values)
    position = torch.searchsorted(members.values, value).clamp(max=count - 1)
    position = torch.where(members.values[position] == value, position, count)
    return members.sets[members.of_node[nodes], position]


@prepared
def numbered_forest(
    trees: Ints, nodes: Ints, features: Ints, splits: Floats, splits_as_tensor: Tensor | None,
    modes: Strs, true_nodes: Ints, false_nodes: Ints, tracks: Ints,
    vote_trees: Ints, vote_nodes: Ints, vote_targets: Ints,
    vote_weights: Floats, vote_weights_as_tensor: Tensor | None,
    *, count: int, device: torch.device, dtype: torch.dtype,
) -> Forest:  # fmt: skip
    """The forest whose nodes are known by their tree and their number in it.

    The first node listed of a tree is its root.
    """
    tree, numbers = np.asarray(trees), _Numbers(trees, nodes)
    mode = np.array([MODES.index(name) for name in modes])
    is_leaf = mode == LEAF
    children = [np.where(is_leaf, nodes, below) for below in (false_nodes, true_nodes)]
    child = np.stack([numbers.find(tree, below) for below in children], 1)
    leaf = numbers.find(np.asarray(vote_trees), np.asarray(vote_nodes))
    weights = _floats(vote_weights, vote_weights_as_tensor)
    return _forest(
        np.sort(np.unique(tree, return_index=True)[1]), np.where(is_leaf, 0, features),
        _floats(splits, splits_as_tensor), child, mode, tracks, None,
        _votes(mode, leaf, np.asarray(vote_targets), weights, count, device, dtype),
        count, device, dtype,
    )  # fmt: skip


@prepared
def split_forest(
    roots: Ints, features: Ints, splits: Tensor, modes: Tensor,
    true_nodes: Ints, true_leaves: Ints, false_nodes: Ints, false_leaves: Ints, tracks: Ints,
    leaf_targets: Ints, leaf_weights: Tensor, membership: Tensor | None,
    *, count: int, device: torch.device, dtype: torch.dtype,
) -> Forest:  # fmt: skip
    """The forest whose leaves are listed apart from the inner nodes; here they follow them."""
    inner = len(features)
    leaf = np.arange(inner, inner + len(leaf_targets))
    sides = (false_nodes, false_leaves), (true_nodes, true_leaves)
    child = [np.append(np.add(side, inner * (np.asarray(ends) != 0)), leaf) for side, ends in sides]
    mode = np.append(_array(modes).astype(np.int64), np.full(len(leaf), LEAF))
    members = None if membership is None else _members(mode, _array(membership), device, dtype)
    return _forest(
        np.asarray(roots), np.append(features, 0 * leaf), np.append(_array(splits), 0.0 * leaf),
        np.stack(child, 1), mode, tracks, members,
        _votes(mode, leaf, np.asarray(leaf_targets), _array(leaf_weights), count, device, dtype),
        count, device, dtype,
    )  # fmt: skip


def _forest(
    roots: np.ndarray, feature: np.ndarray, split: np.ndarray, child: np.ndarray, mode: np.ndarray,
    tracks: Ints, members: Members | None, votes: Votes,
    count: int, device: torch.device, dtype: torch.dtype,
) -> Forest:  # fmt: skip
    inner = mode != LEAF
    if (child >= len(mode)).any() or (child < 0).any():
        raise ModelError("a tree has a child that is not among the nodes")
    follows = np.zeros(len(mode), bool)
    follows[: len(tracks)] = tracks
    return Forest(
        roots=_tensor(roots, device),
        depth=_depth(roots, child, inner),
        feature=_tensor(feature, device),
        split=_tensor(split, device, dtype),
        child=_tensor(child.flatten(), device),
        mode=_tensor(mode, device),
        modes=tuple(np.unique(mode[inner]).tolist()),
        tracks=_tensor(follows, device, torch.bool) if follows.any() else None,
        members=members,
        votes=votes,
        count=count,
    )


def _depth(roots: np.ndarray, child: np.ndarray, inner: np.ndarray) -> int:
    """How many steps the longest way to a leaf takes."""
    level = roots[inner[roots]]
    for depth in range(len(inner) + 1):
        if not len(level):
            return depth
        below = np.unique(child[level])
        level = below[inner[below]]
    raise ModelError("a tree leads back to one of its own nodes")


def _votes(
    mode: np.ndarray, leaf: np.ndarray, targets: np.ndarray, weights: np.ndarray,
    count: int, device: torch.device, dtype: torch.dtype,
) -> Votes:  # fmt: skip
    """The votes, row by row of the leaves that have some; the last row is of those without."""
    is_vote = mode[leaf] == LEAF
    leaf, targets, weights = leaf[is_vote], targets[is_vote], weights[is_vote]
    if len(targets) and not 0 <= targets.min() <= targets.max() < count:
        raise ModelError(f"a leaf votes for a target that is not among the {count}")
    order = np.argsort(leaf, kind="stable")
    voters, first, row, n = np.unique(
        leaf[order], return_index=True, return_inverse=True, return_counts=True
    )
    place = row, np.arange(len(leaf)) - first[row]
    shape = len(voters) + 1, n.max(initial=1)
    all_targets, all_weights = np.full(shape, count), np.zeros(shape)
    all_targets[place], all_weights[place] = targets[order], weights[order]
    of_node = np.full(len(mode), len(voters))
    of_node[voters] = np.arange(len(voters))
    return Votes(
        _tensor(of_node, device),
        _tensor(all_targets, device),
        _tensor(all_weights, device, dtype),
        tuple(np.unique(targets).tolist()),
        bool((weights >= 0).all()),
    )


def _members(
    mode: np.ndarray, listed: np.ndarray, device: torch.device, dtype: torch.dtype
) -> Members:
    """The sets of the nodes that test membership, listed in their order with NaN after each."""
    is_end = np.isnan(listed)
    values, position = np.unique(listed[~is_end], return_inverse=True)
    asking = np.flatnonzero(mode == MEMBER)
    sets = np.zeros((max(len(asking), int(is_end.sum()) + 1), len(values) + 1), bool)
    sets[np.cumsum(is_end)[~is_end], position] = True
    of_node = np.zeros(len(mode), np.int64)
    of_node[asking] = np.arange(len(asking))
    values = values if len(values) else np.array([np.nan])
    return Members(
        _tensor(values, device, dtype), _tensor(sets, device, torch.bool), _tensor(of_node, device)
    )


class _Numbers:
    """The positions of nodes by tree and number."""

    def __init__(self, trees: Ints, nodes: Ints) -> None:
        self._shift = max(nodes, default=0) + 1
        keys = np.asarray(trees) * self._shift + np.asarray(nodes)
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    def find(self, trees: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """The positions; `ModelError` where there is no such node."""
        keys = trees * self._shift + nodes
        places = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        unknown = (self._keys[places] != keys) | (nodes < 0) | (nodes >= self._shift)
        if unknown.any():
            first = int(unknown.argmax())
            raise ModelError(f"tree {trees[first]} has no node {nodes[first]}")
        return self._order[places]


def _floats(numbers: Floats, tensor: Tensor | None) -> np.ndarray:
    return np.asarray(numbers, np.float64) if tensor is None else _array(tensor)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().double().numpy()


def _tensor(array: np.ndarray, device: torch.device, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, dtype)
