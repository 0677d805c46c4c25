"""Which values depend on random operators: two engines draw different numbers."""

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import onnx

from hetu.onnx.nested import subgraphs
from hetu.onnx.order import used_names
from hetu.onnx.verification.outline import Outline
from hetu.types import short_domain

_RANDOM = frozenset({
    ("", "Bernoulli"), ("", "Multinomial"), ("", "RandomNormal"), ("", "RandomNormalLike"),
    ("", "RandomUniform"), ("", "RandomUniformLike"), ("com.microsoft", "Sampling"),
})  # fmt: skip

_TRAINING_MODE = {
    ("", "Dropout"): 2,
    ("com.microsoft", "BitmaskDropout"): 2,
    ("com.microsoft", "BiasDropout"): 4,
    ("com.microsoft", "BitmaskBiasDropout"): 4,
}
"""Operators that are random where an input is true, and its position."""


def random_values(outline: Outline, feeds: Mapping[str, Any]) -> set[str]:
    """The values of the main graph that depend on a random operator."""
    known = {**outline.constants, **feeds}
    off = {n for n, v in known.items() if isinstance(v, np.ndarray) and not v.any()}
    found: set[str] = set()
    for node in outline.model.graph.node:
        if _draws(node, off, outline) or not found.isdisjoint(used_names(node)):
            found.update(filter(None, node.output))
    return found


def _draws(node: onnx.NodeProto, off: Set[str], outline: Outline) -> bool:
    """Whether a node, or one in its bodies or in the function that it calls, is random."""
    key = (short_domain(node.domain), node.op_type)
    if key == ("", "Dropout") and outline.version("") < 7:
        return not any(a.name == "is_test" and a.i for a in node.attribute)
    if key in _TRAINING_MODE:
        name = next(iter(node.input[_TRAINING_MODE[key] :]), "")
        return bool(name) and name not in off
    inner = [n for graph in subgraphs(node) for n in graph.node]
    inner += [n for f in outline.model.functions if (f.domain, f.name) == key for n in f.node]
    return key in _RANDOM or any(_draws(n, off, outline) for n in inner)
