"""Rules know the types and shapes of what operators make, or say that they do not."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hetu.ir import Node, Substitution, Value
from hetu.onnx import load_onnx
from hetu.ops.registry import find
from hetu.passes.build import constant, make
from hetu.runtime import shapes
from hetu.runtime.evaluate import evaluate
from hetu.runtime.shapes import Known, infer
from hetu.runtime.shapes.rules import RULES
from hetu.types import FLOAT32, INT64, dtype
from tests.support.backend import Case, all_cases


@cache
def cases_by_operator() -> dict[str, list[Case]]:
    """The suite's cases of one node."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in all_cases():
        if case.kind == "node" and len(case.model.graph.node) == 1:
            found[case.model.graph.node[0].op_type].append(case)
    return found


def known(array: np.ndarray, is_constant: bool) -> Known:
    element = dtype(array.dtype)
    is_on_host = is_constant and (not element.is_float or not array.ndim)
    return Known(element, array.shape, array if is_on_host else None)


def single_node(case: Case, inputs: Sequence[np.ndarray], are_constant: bool) -> Node | None:
    """The node of a case, whose inputs are constants where they say so."""
    model = load_onnx(case.model, trainable=False)
    value = next(iter(model.outputs.values()))
    if value.node is None or value.node.has_graphs or len(model.inputs) != len(inputs):
        return None
    values = Substitution()
    for old, array in zip(model.inputs.values(), inputs, strict=True):
        if are_constant:
            values[old] = constant(array)
    return values.node(value.node)


@pytest.mark.parametrize("op_type", sorted(RULES))
def test_suite(op_type: str) -> None:
    """What is known is what the suite expects; at least one case of each operator is known.

    But of `LayerNormalization`, whose cases have three outputs.
    """
    count = 0
    for case in cases_by_operator()[op_type]:
        for inputs, expected in case.data_sets():
            if not all(isinstance(a, np.ndarray | np.generic) for a in (*inputs, *expected)):
                continue
            for are_constant in (True, False):
                node = single_node(case, inputs, are_constant)
                if node is None:
                    continue
                by_value = iter([known(array, are_constant) for array in inputs])
                found = infer(node, [value and next(by_value) for value in node.inputs])
                if found is not None:
                    check(found, expected[0], case.name)
                    count += 1
    assert count or op_type == "LayerNormalization"


def check(found: Known, expected: np.ndarray, what: str) -> None:
    assert (found.shape, found.dtype) == (expected.shape, dtype(expected.dtype)), what
    if found.array is not None:
        np.testing.assert_array_equal(found.array, expected, what)
        assert found.array.dtype == expected.dtype


SIZES = st.integers(1, 4)


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, list[np.ndarray], dict[str, Any]]:
    """A node that slides windows over images, often one that does not fit them."""
    op_type = draw(st.sampled_from(["Conv", "ConvTranspose", "MaxPool", "AveragePool"]))
    rank = draw(st.integers(1, 3))
    several = st.lists(SIZES, min_size=rank, max_size=rank)
    pads = st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank)
    kernel = draw(several)
    attributes: dict[str, Any] = {"strides": draw(several), "pads": draw(pads)}
    group, inputs, outputs = (draw(st.integers(1, 2)) for _ in range(3))
    x = np.zeros((draw(SIZES), draw(st.sampled_from([inputs * group, 2])), *draw(several)))
    if draw(st.booleans()):
        attributes["auto_pad"] = draw(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        del attributes["pads"]
    if op_type in ("MaxPool", "AveragePool"):
        attributes |= {"kernel_shape": kernel, "ceil_mode": draw(st.integers(0, 1))}
        return op_type, [x], attributes
    attributes |= {"dilations": draw(several), "group": group}
    is_transposed = op_type == "ConvTranspose"
    sides = (inputs * group, outputs) if is_transposed else (outputs * group, inputs)
    if is_transposed and draw(st.booleans()):
        attributes["output_padding"] = draw(
            st.lists(st.integers(0, 2), min_size=rank, max_size=rank)
        )
    given = [x, np.zeros((*sides, *kernel))]
    if draw(st.booleans()):
        given.append(np.zeros(draw(st.integers(1, 4))))
    return op_type, given, attributes


@st.composite
def movements(draw: st.DrawFn) -> tuple[str, list[np.ndarray], dict[str, Any]]:
    """A node that only moves elements, often one that cannot."""
    x = np.zeros(draw(st.lists(st.integers(0, 3), max_size=3)))
    numbers = st.lists(st.integers(-4, 4), max_size=4).map(lambda n: np.array(n, np.int64))
    axis = draw(st.integers(-4, 4))
    op_type = draw(st.sampled_from(["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose",
                                    "Expand", "Concat", "Gather", "Slice"]))  # fmt: skip
    if op_type == "Flatten":
        return op_type, [x], {"axis": axis}
    if op_type == "Transpose":
        return op_type, [x], {"perm": draw(st.permutations(range(draw(st.integers(0, 3)))))}
    if op_type == "Concat":
        other = np.zeros(draw(st.lists(st.integers(0, 3), max_size=3)))
        return op_type, draw(st.sampled_from([[x, other], [x, x], [x]])), {"axis": axis}
    if op_type == "Gather":
        first_or_last = st.lists(st.sampled_from([-1, 0]), max_size=3)
        return op_type, [x, np.array(draw(first_or_last), np.int64)], {"axis": axis}
    if op_type == "Slice":
        return op_type, [x, *(draw(numbers) for _ in range(draw(st.integers(2, 4))))], {}
    attributes = {"allowzero": draw(st.integers(0, 1))} if op_type == "Reshape" else {}
    return op_type, [x, draw(numbers)], attributes


@st.composite
def products(draw: st.DrawFn) -> tuple[str, list[np.ndarray], dict[str, Any]]:
    """A product, a norm, a reduction or a sum, often one whose shapes do not fit."""
    shape = st.lists(st.sampled_from([1, 2, 2, 2, 3]), max_size=4)
    op_type = draw(st.sampled_from(["MatMul", "Gemm", "Add", "Where", "LayerNormalization",
                                    "BatchNormalization", "ReduceSum", "Softmax"]))  # fmt: skip
    counts = {"Where": 3, "LayerNormalization": 3, "BatchNormalization": 5, "ReduceSum": 1,
              "Softmax": 1}  # fmt: skip
    given = [np.zeros(draw(shape)) for _ in range(counts.get(op_type, 2))]
    if op_type == "Gemm":
        return op_type, [*given, np.zeros(draw(shape))], {
            "transA": draw(st.integers(0, 1)), "transB": draw(st.integers(0, 1)),
        }  # fmt: skip
    if op_type == "Where":
        given[0] = given[0].astype(bool)
    if op_type == "ReduceSum":
        axes = draw(st.lists(st.integers(-3, 3), max_size=2, unique=True))
        return op_type, [*given, np.array(axes, np.int64)], {"keepdims": draw(st.integers(0, 1))}
    needs_axis = op_type in ("LayerNormalization", "Softmax")
    return op_type, given, {"axis": draw(st.integers(-4, 3))} if needs_axis else {}


@settings(max_examples=1500, derandomize=True, deadline=None)
@given(st.one_of(windows(), movements(), products()))
def test_what_is_known_is_computed(node: tuple[str, list[np.ndarray], dict[str, Any]]) -> None:
    """A node of which something is known runs, and makes just that."""
    op_type, arrays, attributes = node
    arrays = [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]
    stated = {n: tuple(v) if isinstance(v, list) else v for n, v in attributes.items()}
    made = make(op_type, [place(array) for array in arrays], None, stated)
    found = infer(made, [known(array, True) for array in arrays])
    if found is None:
        return
    contents = {
        value: torch.from_numpy(array)
        for value, array in zip(made.inputs, arrays, strict=True)
        if value is not None and not value.constant
    }
    (result,) = evaluate(made, contents)
    check(found, result.numpy(), str(made))


def place(array: np.ndarray) -> Value:
    """A constant for numbers that nodes go by, otherwise the place of a tensor."""
    return constant(array) if array.dtype == np.int64 else Value("x")


def test_memory_is_bounded() -> None:
    """Constants that would grow large are left to what runs the nodes."""
    one, sizes = constant(np.array([1])), constant(np.array([1 << 20, 1 << 20]))
    node = make("Expand", [one, sizes])
    given = Known(INT64, (1,), np.array([1])), Known(INT64, (2,), np.array([1 << 20] * 2))
    assert infer(node, given) is None
    numbers = [Known(INT64, (), np.array(n)) for n in (0, 1 << 40, 1)]
    assert infer(make("Range", [one, one, one]), numbers) is None


def test_other_operators() -> None:
    """Nothing is known of operators without a rule, and of those of other domains."""
    x = Value("x")
    assert infer(make("Det", [x]), [Known(FLOAT32, (2, 2))]) is None
    fused = make("Relu", [x], domain="com.example", version=1)
    assert infer(fused, [Known(FLOAT32, (2, 2))]) is None


def test_operators_in_the_place_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user registered as `Relu` may make anything."""
    node, given = make("Relu", [Value("x")]), [Known(FLOAT32, (2, 2))]
    assert infer(node, given) == given[0]
    kernel = find("", "Relu", node.version)
    assert kernel is not None
    theirs = replace(kernel, is_custom=True)
    monkeypatch.setattr(shapes, "find", lambda *names: theirs)
    assert infer(node, given) is None


def test_types_that_torch_cannot_compute_in() -> None:
    """Nothing is known of strings and of numbers that torch stores in another form."""
    for array in (np.array(["a", "b"], object), np.zeros(2, np.uint16)):
        assert infer(make("Identity", [constant(array)]), [known(array, True)]) is None
