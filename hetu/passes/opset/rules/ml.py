"""Operators of ai.onnx.ml: LabelEncoder, and the attributes of trees until version 4."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hetu.ir import Attribute
from hetu.passes.opset.derive import plain
from hetu.passes.opset.rewrite import Rewrite
from hetu.passes.opset.rule import Results, down, up
from hetu.types import AttributeKind

ML = "ai.onnx.ml"
_LISTS = {
    "float32": ("floats", "float"),
    "int64": ("int64s", "int64"),
    "object": ("strings", "string"),
}
"""How the attributes for a type end: those that list, and the one that holds a default."""


@up("LabelEncoder", 2, ML)
def label_encoder(rewrite: Rewrite) -> Results:
    """Labels were numbered in their order."""
    labels = rewrite.node.attributes.get("classes_strings", Attribute("strings", ()))
    numbers = range(len(labels.value))
    is_text = rewrite.schemas.type_name(rewrite.given(0)) == "tensor(string)"
    sides = ("keys_strings", "values_int64s") if is_text else ("values_strings", "keys_int64s")
    default = "default_int64" if is_text else "default_string"
    gone = ("classes_strings", *({"default_int64", "default_string"} - {default}))
    made: dict[str, Any] = {sides[0]: labels, sides[1]: numbers}
    return rewrite.keep(without=gone, **made)


@down("LabelEncoder", 2, ML)
def category_mapper(rewrite: Rewrite) -> Results:
    """CategoryMapper maps strings to integers and back, LabelEncoder only in their order."""
    attributes = rewrite.node.attributes
    texts = attributes.get("keys_strings") or attributes.get("values_strings")
    numbers = attributes.get("keys_int64s") or attributes.get("values_int64s")
    if texts is None or numbers is None:
        rewrite.fail("that version maps strings to integers and integers to strings only")
    kept: dict[str, Any] = {"cats_strings": texts, "cats_int64s": numbers}
    gone = tuple(
        n for n in attributes if n.startswith(("keys_", "values_")) or n == "default_float"
    )
    return rewrite.keep(without=gone, op_type="CategoryMapper", **kept)


up("LabelEncoder", 4, ML)(plain)  # tensors beside the lists


@down("LabelEncoder", 4, ML)
def label_encoder_of_lists(rewrite: Rewrite) -> Results:
    """Tensors of the types that lists hold become lists."""
    tensors = ("keys_tensor", "values_tensor", "default_tensor")
    lists: dict[str, Any] = {}
    keys = (rewrite.attribute("keys_floats", ()), _array(rewrite, "keys_tensor"))
    if any(isinstance(key, float) and math.isnan(key) for part in keys for key in part):
        rewrite.fail("one of its keys is NaN, which that version finds by its bits")
    for name in tensors:
        if name in rewrite.node.attributes:
            lists |= _as_list(rewrite, name.removesuffix("_tensor"), rewrite.attribute(name).array)
    return rewrite.keep(without=tensors, **lists)


def _array(rewrite: Rewrite, name: str) -> Sequence[Any]:
    tensor = rewrite.attribute(name)
    return () if tensor is None else tensor.array.reshape(-1).tolist()


def _as_list(rewrite: Rewrite, name: str, array: np.ndarray) -> Mapping[str, Any]:
    if array.dtype.name not in _LISTS:
        rewrite.fail(f"its {name} are of {array.dtype.name}, which that version cannot list")
    many, one = _LISTS[array.dtype.name]
    content = tuple(array.reshape(-1).tolist())
    if name == "default":
        return {f"default_{one}": content[0]}
    kinds: Mapping[str, AttributeKind] = {
        "int64s": "ints",
        "floats": "floats",
        "strings": "strings",
    }
    return {f"{name}_{many}": Attribute(kinds[many], content)}


def in_float32(rewrite: Rewrite) -> Results:
    """Numbers were float32; what a tensor holds of other ones has to be among them."""
    lists: dict[str, Any] = {}
    tensors = [name for name in rewrite.node.attributes if name.endswith("_as_tensor")]
    for name in tensors:
        array = rewrite.attribute(name).array
        numbers = array.astype(np.float32)
        if not np.array_equal(numbers, array):
            rewrite.fail(f"its {name!r} holds numbers that are not float32")
        lists[name.removesuffix("_as_tensor")] = Attribute("floats", tuple(numbers.tolist()))
    return rewrite.keep(without=tensors, **lists)


for _op_type in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
    up(_op_type, 3, ML)(plain)  # tensors beside the lists
    down(_op_type, 3, ML)(in_float32)
