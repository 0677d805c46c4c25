"""Tables in which rows are looked up and that a product takes as its weight: torch's gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser
from torch import nn

import hetu as ht
from hetu.passes import tied

COUNT, WIDTH = 12, 6


@pytest.fixture(autouse=True)
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tied, "LEAST", 1)


class Language(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(COUNT, WIDTH), nn.Embedding(5, WIDTH)
        self.layer, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, COUNT, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.norm(torch.tanh(self.layer(x))))


@pytest.mark.parametrize("make", [ht.optim.SGDOptimizer, ht.optim.MomentumOptimizer])
def test_language_models(make: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    module, ids = Language(), torch.randint(0, COUNT, (3, 5))
    model = ht.onnx.from_module(module, (ids,))
    (logits,) = model.outputs.values()
    targets = ht.Variable(name="targets", dtype="int64")
    loss = ht.op.ReduceMean(ht.softmaxcrossentropy_sparse_op(logits, targets))
    executor = ht.Executor([loss, make(0.1).minimize(loss)])
    momentum = 0.9 if make is ht.optim.MomentumOptimizer else 0
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=momentum)
    for _ in range(5):
        feeds = {next(iter(model.inputs)): ids.numpy(), "targets": ids.flip(1).numpy()}
        (ours, _) = executor.run(feed_dict=feeds)
        optimizer.zero_grad()
        theirs = nn.functional.cross_entropy(module(ids).flatten(0, 1), ids.flip(1).flatten())
        theirs.backward()
        optimizer.step()
        np.testing.assert_allclose(ours.asnumpy(), theirs.detach(), rtol=1e-5)
    weights = {n: v for n, v in executor.state_dict().items() if v.shape == (COUNT, WIDTH)}
    (table,) = weights.values()
    np.testing.assert_allclose(table, module.tokens.weight.detach(), rtol=1e-4, atol=1e-6)
    assert reasons(executor) == [""]


def reasons(executor: ht.Executor) -> list[str]:
    return [note.reason for note in executor.explain() if note.fusion == "tied table"]


FEEDS = {
    "i": np.array([[0, 3, 3], [-1, 7, -12]]),
    "j": np.array([5, 5, 0]),
    "h": np.random.default_rng(0).standard_normal((4, WIDTH), np.float32),
}


def model_of(nodes: str, results: str = "y r") -> Any:
    table = np.random.default_rng(1).standard_normal((COUNT, WIDTH), np.float32)
    proto = parser.parse_model(f"""
    <ir_version: 8, opset_import: ["": 17]>
    g (int64[2, 3] i, int64[3] j, float[4, {WIDTH}] h)
        => ({", ".join(f"float[] {name}" for name in results.split())})
    <float[{COUNT}, {WIDTH}] t = {{{", ".join(map(str, table.flatten().tolist()))}}},
     float[{COUNT}, 4] left = {{{", ".join(["0.5"] * COUNT * 4)}}}> {{ {nodes} }}
    """)
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    return ht.onnx.load_onnx(proto)


def compare(model: Any, also: Callable[[Any], Any] = lambda model: []) -> ht.Executor:
    """Gradients with and without passes."""
    ys = list(model.outputs.values())
    parts = [ht.op.ReduceSum(y * y * y, keepdims=False) for y in ys]
    loss = ht.op.Sum(*parts)
    wanted = [model.variables["t"], model.inputs["h"], *also(model)]
    feeds = {model.inputs[name]: array for name, array in FEEDS.items() if name in model.inputs}
    results = []
    for optimize in (False, True):
        executor = ht.Executor([loss, *ht.gradients(loss, wanted)], optimize=optimize)
        for _ in range(2):
            found = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
        results.append(found)
    for plain, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, plain, rtol=1e-4, atol=1e-4)
    return executor


PRODUCTS = {
    "MatMul": "s = Transpose<perm = [1, 0]>(t) y = MatMul(h, s)",
    "Gemm": "y = Gemm<transB = 1, alpha = 0.5>(h, t)",
}


@pytest.mark.parametrize("product", ["MatMul", "Gemm"])
@pytest.mark.parametrize("axis", ["", "<axis = 0>", "<axis = -2>"])
def test_look_ups_beside_a_product(product: str, axis: str) -> None:
    executor = compare(model_of(f"r = Gather{axis}(t, i) {PRODUCTS[product]}"))
    assert reasons(executor) == [""]


def test_several_look_ups() -> None:
    nodes = "a = Gather(t, i) b = Gather(t, j) r = Add(a, b)"
    assert reasons(compare(model_of(f"{nodes} {PRODUCTS['Gemm']}"))) == ["", ""]


@pytest.mark.parametrize(
    ("nodes", "results"),
    [
        ("r = Gather(t, i) y = Identity(h)", "y r"),
        (PRODUCTS["Gemm"], "y"),
        (f"r = Gather<axis = 1>(t, j) {PRODUCTS['Gemm']}", "y r"),
        (f"r = Gather(t, i) {PRODUCTS['Gemm']} z = Tanh(t)", "y r z"),
        (f"r = Gather(t, i) {PRODUCTS['Gemm']} z = Gemm<transB = 1>(h, t)", "y r z"),
        (f"r = Gather(t, i) {PRODUCTS['MatMul']} z = Tanh(s)", "y r z"),
        (f"r = Gather(t, i) {PRODUCTS['MatMul']}", "y r s"),
        ("r = Gather(t, i) s = Transpose(t) y = MatMul(t, s)", "y r"),
        ("r = Gather(t, i) s = Transpose(t) y = Tanh(s)", "y r"),
        ("r = Gather(t, i) y = Gemm(left, h, t)", "y r"),
    ],
)
def test_other_uses(nodes: str, results: str) -> None:
    assert reasons(compare(model_of(nodes, results))) == []


def test_the_table_is_a_result() -> None:
    model = model_of(f"r = Gather(t, i) {PRODUCTS['Gemm']}")
    loss = ht.op.ReduceSum(model.outputs["y"], keepdims=False)
    table = model.variables["t"]
    feeds = {model.inputs[name]: array for name, array in FEEDS.items() if name != "j"}
    executor = ht.Executor([table, *ht.gradients(loss, [table])])
    value, gradient = executor.run(feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_array_equal(value, table.data.array)
    wanted = np.broadcast_to(0.5 * FEEDS["h"].sum(0), (COUNT, WIDTH))
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5)


def test_gradients_of_what_is_looked_up() -> None:
    model = model_of(f"r = Gather(t, i) {PRODUCTS['Gemm']}")
    assert reasons(compare(model, lambda model: [model.outputs["r"]])) == []


def test_a_table_that_is_named_twice() -> None:
    model = model_of(f"r = Gather(t, i) {PRODUCTS['Gemm']}")
    assert reasons(compare(model, lambda model: [model.variables["t"]])) == []


def test_gradients_of_gradients() -> None:
    model = model_of(f"r = Gather(t, i) {PRODUCTS['Gemm']}")
    loss = ht.op.Sum(*(ht.op.ReduceSum(y * y * y, keepdims=False) for y in model.outputs.values()))
    table = model.variables["t"]
    (first,) = ht.gradients(loss, [table])
    (second,) = ht.gradients(ht.op.ReduceSum(first * first, keepdims=False), [table])
    feeds = {model.inputs[name]: array for name, array in FEEDS.items() if name != "j"}
    found = [
        ht.Executor([first, second], optimize=optimize).run(
            feed_dict=feeds, convert_to_numpy_ret_vals=True
        )
        for optimize in (True, False)
    ]
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_indices_outside_of_the_table() -> None:
    model = model_of(f"r = Gather(t, i) {PRODUCTS['Gemm']}")
    loss = ht.op.ReduceSum(model.outputs["r"], keepdims=False)
    executor = ht.Executor([loss, *ht.gradients(loss, [model.variables["t"]])])
    feeds = {model.inputs["i"]: np.full((2, 3), COUNT), model.inputs["h"]: FEEDS["h"]}
    with pytest.raises(ht.errors.RunError, match="Gather"):
        executor.run(feed_dict=feeds)


_USES = {
    "rows": "r{n} = Gather(t, i)",
    "more rows": "r{n} = Gather(t, j)",
    "columns": "r{n} = Gather<axis = 1>(t, j)",
    "gemm": "r{n} = Gemm<transB = 1>(h, t)",
    "matmul": "s{n} = Transpose(t) r{n} = MatMul(h, s{n})",
    "sum": "r{n} = Add(t, t)",
}


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.lists(st.sampled_from(sorted(_USES)), min_size=1, max_size=4))
def test_random_uses(uses: list[str]) -> None:
    """A table is used in several ways; only look-ups beside one product are taken apart."""
    nodes = " ".join(_USES[use].format(n=n) for n, use in enumerate(uses))
    names = " ".join(f"r{n}" for n in range(len(uses)))
    executor = compare(model_of(f"{nodes} y = Identity(h)", f"y {names}"))
    rows = sum("rows" in use for use in uses)
    are_tied = rows and len(uses) == rows + 1 and bool({"gemm", "matmul"} & set(uses))
    assert reasons(executor) == [""] * (rows if are_tied else 0)
