"""Control flow: results and gradients against the same computation in plain torch."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import hetu as ht
from hetu.errors import ModelError
from hetu.onnx import load_onnx

RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((2, 3)).astype(np.float32)
W = RANDOM.standard_normal((3, 3)).astype(np.float32)
HEADER = '<ir_version: 10, opset_import: ["": 21, "local": 1]>\n'

POWERS = """
main (int64 trips, float[2,3] x, float[3,3] w) => (float[2,3] last, float[n,2,3] all) {
    last, all = Loop <body = step (int64 i, bool going, float[2,3] before)
            => (bool going_on, float[2,3] after, float[2,3] scanned) {
        going_on = Identity (going)
        mixed = MatMul (before, w)
        after = Tanh (mixed)
        scanned = Add (after, before)
    }> (trips, , x)
}
"""


def load(text: str) -> Any:
    """The model that a text in ONNX's own notation states."""
    return load_onnx(onnx.parser.parse_model(HEADER + text), trainable=False)


def run(text: str, *feeds: Any) -> list[Any]:
    """The model's outputs."""
    model = load(text)
    executor = ht.Executor(list(model.outputs.values()))
    named = dict(zip(model.inputs, feeds, strict=True))
    return executor.run(feed_dict=named, convert_to_numpy_ret_vals=True)


def gradients(text: str, wanted: Sequence[str], *feeds: Any) -> list[np.ndarray]:
    """Gradients of the sum of the outputs' elements."""
    model = load(text)
    ys, xs = list(model.outputs.values()), [model.inputs[name] for name in wanted]
    executor = ht.Executor(ht.gradients(ys, xs))
    named = dict(zip(model.inputs, feeds, strict=True))
    return executor.run(feed_dict=named, convert_to_numpy_ret_vals=True)


def leaves(*arrays: np.ndarray) -> list[torch.Tensor]:
    """Tensors that record gradients."""
    return [torch.tensor(array, requires_grad=True) for array in arrays]


def expect(actual: Sequence[np.ndarray], expected: Sequence[torch.Tensor | None]) -> None:
    """The arrays are the tensors' values; None stands for zeros."""
    for ours, theirs in zip(actual, expected, strict=True):
        theirs = np.zeros_like(ours) if theirs is None else theirs.detach().numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def powers(trips: int, x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What POWERS computes."""
    scanned = []
    for _ in range(trips):
        after = torch.tanh(x @ w)
        scanned.append(after + x)
        x = after
    return x, scanned


@pytest.mark.parametrize("flag", [True, False])
def test_if_differentiates_the_branch_taken(flag: bool) -> None:
    text = """
    main (bool flag, float[2,3] x, float[3,3] w) => (float[2,3] y) {
        y = If <then_branch = yes () => (float[2,3] a) { a = MatMul (x, w) },
                else_branch = no () => (float[2,3] b) { b = Tanh (x) }> (flag)
    }
    """
    x, w = leaves(X, W)
    (x @ w if flag else torch.tanh(x)).sum().backward()
    expect(gradients(text, ["x", "w"], np.asarray(flag), X, W), [x.grad, w.grad])


@pytest.mark.parametrize("trips", [1, 5])
def test_loop(trips: int) -> None:
    x, w = leaves(X, W)
    last, scanned = powers(trips, x, w)
    (last.sum() + torch.stack(scanned).sum()).backward()
    feeds = np.asarray(trips), X, W
    expect(run(POWERS, *feeds), [last, torch.stack(scanned)])
    expect(gradients(POWERS, ["x", "w"], *feeds), [x.grad, w.grad])


def test_loop_that_does_not_run() -> None:
    last, scanned = run(POWERS, np.asarray(0), X, W)
    np.testing.assert_array_equal(last, X)
    assert scanned.shape == (0, 2, 3)
    assert scanned.dtype == np.float32
    of_x, of_w = gradients(POWERS, ["x", "w"], np.asarray(0), X, W)
    np.testing.assert_array_equal(of_x, np.ones_like(X))
    np.testing.assert_array_equal(of_w, np.zeros_like(W))


def test_loop_while() -> None:
    text = """
    main (float x, float limit) => (float y, int64[n] numbers) {
        start = Less (x, limit)
        y, numbers = Loop <body = step (int64 i, bool going, float before)
                => (bool going_on, float after, int64 number) {
            after = Mul (before, before)
            going_on = Less (after, limit)
            number = Identity (i)
        }> (, start, x)
    }
    """
    x, limit = np.float32(1.5), np.float32(20)
    y, numbers = run(text, x, limit)
    np.testing.assert_allclose(y, x**8, rtol=1e-6)
    np.testing.assert_array_equal(numbers, [0, 1, 2])
    np.testing.assert_array_equal(run(text, limit, x)[1], np.zeros(0, np.int64))


def test_loop_ignores_the_body_where_the_node_has_no_condition() -> None:
    text = """
    main (int64 trips) => (int64[n] numbers) {
        numbers = Loop <body = step (int64 i, bool going) => (bool stop, int64 number) {
            number = Identity (i)
            stop = Not (going)
        }> (trips, )
    }
    """
    np.testing.assert_array_equal(run(text, np.asarray(3))[0], [0, 1, 2])


def test_scan_outputs_are_stacked_once() -> None:
    class Counting(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.calls: Counter[str] = Counter()

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            self.calls[func.overloadpacket.__name__] += 1
            return func(*args, **(kwargs or {}))

    model = load(POWERS)
    executor = ht.Executor(list(model.outputs.values()))
    with Counting() as counting:
        executor.run(feed_dict=dict(zip(model.inputs, (np.asarray(9), X, W), strict=True)))
    assert counting.calls["stack"] + counting.calls["cat"] == 1


@pytest.mark.parametrize("is_reversed", [False, True])
def test_scan_as_an_rnn(is_reversed: bool) -> None:
    flag = int(is_reversed)
    text = f"""
    main (float[2,5,4] x, float[2,3] h, float[4,3] wx, float[3,3] wh, float[3] b)
        => (float[2,3] last, float[2,5,3] all) {{
        last, all = Scan <num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [1],
                scan_input_directions = [{flag}], scan_output_directions = [{flag}],
                body = step (float[2,3] before, float[2,4] now)
                => (float[2,3] after, float[2,3] out) {{
            of_x = MatMul (now, wx)
            of_h = MatMul (before, wh)
            summed = Sum (of_x, of_h, b)
            after = Tanh (summed)
            out = Identity (after)
        }}> (h, x)
    }}
    """
    shapes = (2, 5, 4), (2, 3), (4, 3), (3, 3), (3,)
    feeds = [RANDOM.standard_normal(shape).astype(np.float32) for shape in shapes]
    x, h, wx, wh, b = tensors = leaves(*feeds)
    inputs = x.flip(1) if is_reversed else x
    weights = (wx.T, wh.T, b, torch.zeros(3))
    every, last = torch._VF.rnn_tanh(inputs, h[None], weights, True, 1, 0.0, True, False, True)
    every = every.flip(1) if is_reversed else every
    (every.sum() + last.sum()).backward()
    expect(run(text, *feeds), [last[0], every])
    expect(gradients(text, ["x", "h", "wx", "wh", "b"], *feeds), [t.grad for t in tensors])


def test_captures_two_levels_deep() -> None:
    text = """
    main (int64 trips, float[2,3] x, float[3,3] w) => (float[2,3] y) {
        shift = ReduceMean <keepdims = 0> (x)
        y = Loop <body = step (int64 i, bool going, float[2,3] before)
                => (bool going_on, float[2,3] after) {
            going_on = Identity (going)
            mixed = MatMul (before, w)
            two = Constant <value = int64 {2}> ()
            is_early = Less (i, two)
            after = If <then_branch = early () => (float[2,3] a) {
                    outer = MatMul (x, w)
                    a = Sum (outer, mixed, shift)
                }, else_branch = late () => (float[2,3] b) { b = Mul (mixed, shift) }> (is_early)
        }> (trips, , x)
    }
    """
    x, w = leaves(X, W)
    shift, state = x.mean(), x
    for i in range(4):
        mixed = state @ w
        state = x @ w + mixed + shift if i < 2 else mixed * shift
    state.sum().backward()
    feeds = np.asarray(4), X, W
    expect(run(text, *feeds), [state])
    expect(gradients(text, ["x", "w"], *feeds), [x.grad, w.grad])


def test_a_sequence_as_state() -> None:
    text = """
    main (int64 trips, float[2,3] x, float[3,3] w) => (float[n,3] y) {
        start = SequenceConstruct (x)
        grown = Loop <body = step (int64 i, bool going, seq(float[2,3]) before)
                => (bool going_on, seq(float[2,3]) after) {
            going_on = Identity (going)
            last_one = Constant <value = int64 {-1}> ()
            last = SequenceAt (before, last_one)
            next = MatMul (last, w)
            after = SequenceInsert (before, next)
        }> (trips, , start)
        y = ConcatFromSequence <axis = 0> (grown)
    }
    """
    x, w = leaves(X, W)
    y = torch.cat([x, x @ w, x @ w @ w, x @ w @ w @ w])
    y.sum().backward()
    feeds = np.asarray(3), X, W
    expect(run(text, *feeds), [y])
    expect(gradients(text, ["x", "w"], *feeds), [x.grad, w.grad])


def test_a_function_called_in_a_body() -> None:
    text = """
    main (int64 trips, float[2,3] x, float[3,3] w) => (float[2,3] y) {
        y = Loop <body = step (int64 i, bool going, float[2,3] before)
                => (bool going_on, float[2,3] after) {
            going_on = Identity (going)
            once = local.mix <slope = 0.3> (before, w)
            after = local.mix <slope = 0.1> (once, w)
        }> (trips, , x)
    }
    <domain: "local", opset_import: ["": 21]>
    mix <slope> (a, b) => (c) {
        product = MatMul (a, b)
        c = LeakyRelu <alpha: float = @slope> (product)
    }
    """
    x, w = leaves(X, W)
    state = x
    for slope in (0.3, 0.1) * 2:
        state = torch.nn.functional.leaky_relu(state @ w, slope)
    state.sum().backward()
    feeds = np.asarray(2), X, W
    expect(run(text, *feeds), [state])
    expect(gradients(text, ["x", "w"], *feeds), [x.grad, w.grad])


def test_sequence_map() -> None:
    text = """
    main (float[2,3] x, float[3,3] w) => (float[2,3] y) {
        rows = SplitToSequence (x)
        mapped = SequenceMap <body = each (float[1,3] row, float[3,3] other) => (float[1,3] out) {
            product = MatMul (row, other)
            out = Tanh (product)
        }> (rows, w)
        y = ConcatFromSequence <axis = 0> (mapped)
    }
    """
    x, w = leaves(X, W)
    y = torch.tanh(x @ w)
    y.sum().backward()
    expect(run(text, X, W), [y])
    expect(gradients(text, ["x", "w"], X, W), [x.grad, w.grad])


def test_strings_as_state() -> None:
    text = """
    main (int64 trips, string[n] texts) => (string[m] grown, string[k,n] rows) {
        grown, rows = Loop <body = step (int64 i, bool going, string[m] before)
                => (bool going_on, string[p] after, string[n] row) {
            going_on = Identity (going)
            after = Concat <axis = 0> (before, texts)
            row = Identity (texts)
        }> (trips, , texts)
    }
    """
    texts = np.array(["b", "a"], dtype=object)
    grown, rows = run(text, np.asarray(2), texts)
    assert grown.tolist() == ["b", "a"] * 3
    assert rows.tolist() == [["b", "a"]] * 2
    _, rows = run(text, np.asarray(0), texts)
    assert rows.shape == (0, 0)
    assert rows.dtype == object


@pytest.mark.parametrize("element", ["uint16", "uint64", "int4", "float8e5m2", "bfloat16"])
def test_scanned_types_that_torch_cannot_compute_in(element: str) -> None:
    text = f"""
    main (float[3,2] x) => ({element}[2,3] y) {{
        y = Scan <num_scan_inputs = 1, scan_output_axes = [1],
                body = step (float[2] row) => ({element}[2] out) {{
            out = Cast <to = {onnx.TensorProto.DataType.Value(element.upper())}> (row)
        }}> (x)
    }}
    """
    (y,) = run(text, np.float32([[1, 2], [3, 4], [5, 6]]))
    np.testing.assert_array_equal(y.astype(np.float32), [[1, 3, 5], [2, 4, 6]])


def test_scan_outputs_of_unknown_type_need_an_iteration() -> None:
    text = """
    main (int64 trips) => (int64[n] numbers) {
        numbers = Loop <body = step (int64 i, bool going) => (bool going_on, number) {
            number = Identity (i)
            going_on = Identity (going)
        }> (trips, )
    }
    """
    np.testing.assert_array_equal(run(text, np.asarray(2))[0], [0, 1])
    with pytest.raises(ModelError, match="does not state its scan outputs' types"):
        run(text, np.asarray(0))
