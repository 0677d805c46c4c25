"""Normalization by statistics of batches in training, by oneDNN's library: what torch computes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import parser
from torch import nn

import hetu as ht
from hetu import onednn
from hetu.ops.batch_norms import normalize_images

CHANNELS = 8

NAMES = {"trained batch norm", "trained batch norm activation"}

needs_library = pytest.mark.skipif(not onednn.is_available(), reason="oneDNN's library is missing")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def wanted(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, epsilon: float, rectifies: bool
) -> tuple[torch.Tensor, ...]:
    """What the definition says, in float64."""
    x, scale, shift = (tensor.double() for tensor in (x, scale, shift))
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    along = (-1, 1, 1)
    y = (x - mean.view(along)) / (var + epsilon).sqrt().view(along)
    y = y * scale.view(along) + shift.view(along)
    return y.relu() if rectifies else y, mean, var


def with_gradients(function: Any, *leaves: torch.Tensor, **options: Any) -> list[torch.Tensor]:
    leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)
    y, mean, var = function(*leaves, **options)
    seed = random(*y.shape, seed=9).to(y.dtype)
    return [y, mean, var, *torch.autograd.grad(y, leaves, seed)]


@needs_library
@pytest.mark.parametrize("rectifies", [False, True])
@pytest.mark.parametrize(
    "shape", [(8, 32, 14, 14), (2, 3, 5, 7), (4, 24, 9, 8), (2, 1, 6, 6), (3, 20, 1, 1)]
)
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_results_and_gradients(shape: tuple[int, ...], offset: float, rectifies: bool) -> None:
    x = (random(*shape) + offset).contiguous(memory_format=torch.channels_last)
    scale, shift = random(shape[1], seed=1), random(shape[1], seed=2)
    options = {"epsilon": 1e-3, "rectifies": rectifies}
    ours = with_gradients(normalize_images, x, scale, shift, **options)
    exact = with_gradients(wanted, *(t.double() for t in (x, scale, shift)), **options)
    is_clear = exact[0].abs() > 1e-4  # rounding decides on which side of 0 the others are
    assert ours[0].is_contiguous(memory_format=torch.channels_last)
    count = x.numel() / shape[1]
    for one, other in zip(ours, exact, strict=True):
        if other.shape == x.shape and rectifies:
            one, other = one.where(is_clear, 0), other.where(is_clear, 0)
        # float32 rounds each of the summands, which the offset makes larger
        tolerance = 1e-5 * (1 + offset) * (1 + count**0.5)
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=tolerance)


def test_channels_that_do_not_lie_side_by_side() -> None:
    x, scale, shift = random(2, 6, 5, 4), random(6, seed=1), random(6, seed=2)
    options = {"epsilon": 1e-3, "rectifies": True}
    ours = with_gradients(normalize_images, x, scale, shift, **options)
    exact = with_gradients(wanted, *(t.double() for t in (x, scale, shift)), **options)
    for one, other in zip(ours, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(CHANNELS, momentum=0.3) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norms[0](self.convs[0](x)))
        x = torch.relu(x + self.norms[1](self.convs[1](x)))
        return nn.functional.hardtanh(self.norms[2](self.convs[2](x)), 0, 6).flatten(1)


def test_training() -> None:
    """Losses, then weights and running statistics, are those of torch's own modules."""
    torch.manual_seed(0)
    module, x = Residual(), random(6, CHANNELS, 7, 7)
    model = ht.onnx.from_module(module, (x,))
    (y,) = model.outputs.values()
    step = ht.optim.SGDOptimizer(0.1).minimize(ht.op.ReduceMean(y * y, keepdims=False))
    executor = ht.Executor({"train": [y, step], "eval": [y]})
    feeds = {name: x.numpy() for name in model.inputs}
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for _ in range(4):
        (ours, _) = executor.run("train", feed_dict=feeds)
        theirs = module.train()(x)
        optimizer.zero_grad()
        theirs.square().mean().backward()
        optimizer.step()
        np.testing.assert_allclose(ours.asnumpy(), theirs.detach(), rtol=1e-3, atol=1e-4)
    (result,) = executor.run("eval", feed_dict=feeds, convert_to_numpy_ret_vals=True)
    np.testing.assert_allclose(result, module.eval()(x).detach(), rtol=1e-3, atol=1e-4)
    found = {name: reasons(executor, name) for name in NAMES}
    fused = {"trained batch norm": [""] * 3, "trained batch norm activation": [""]}
    assert found == (fused if onednn.is_available() else {name: [] for name in NAMES})


def reasons(executor: ht.Executor, name: str, subgraph: str = "train") -> list[str]:
    return [note.reason for note in executor.explain(subgraph) if note.fusion == name]


def model_of(nodes: str, outputs: str = "y", opset: int = 17, kind: str = "float") -> Any:
    vectors = {"s": range(1, 1 + CHANNELS), "b": range(CHANNELS), "m": [0] * CHANNELS}
    vectors |= {"v": [1] * CHANNELS}
    given = [
        f"{kind}[{CHANNELS}] {name} = {{{', '.join(map(str, numbers))}}}"
        for name, numbers in vectors.items()
    ]
    proto = parser.parse_model(f"""
    <ir_version: 8, opset_import: ["": {opset}]>
    g ({kind}[n, {CHANNELS}, h, w] x) => ({", ".join(f"{kind}[] {y}" for y in outputs.split())})
    <{", ".join(given)}> {{ {nodes} }}""")
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    return ht.onnx.load_onnx(proto)


def compare(model: Any, steps: int = 2) -> ht.Executor:
    """Results, gradients, and variables after some steps, with and without passes."""
    ys, (x,) = list(model.outputs.values()), model.inputs.values()
    parts = [ht.op.ReduceMean(y * y * y, keepdims=False) for y in ys]
    loss = parts[0] if len(parts) == 1 else ht.op.Sum(*parts)
    data = random(3, CHANNELS, 6, 5).contiguous(memory_format=torch.channels_last)
    feeds = {x: torch.as_tensor(data, dtype=getattr(torch, x.dtype.name))}
    results = []
    for optimize in (False, True):
        step = ht.optim.SGDOptimizer(0.01).minimize(loss)
        executor = ht.Executor({"train": [*ys, *ht.gradients(loss, [x]), step]}, optimize=optimize)
        for _ in range(steps):
            found = executor.run("train", feed_dict=feeds, convert_to_numpy_ret_vals=True)[:-1]
        results.append([*found, *executor.state_dict().values()])
    for plain, fused in zip(*results, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-3, atol=1e-4)
    return executor


NORM = "BatchNormalization"


@needs_library
@pytest.mark.parametrize(
    ("nodes", "opset"),
    [
        (f"n = {NORM} <momentum = 0.7, epsilon = 0.01> (x, s, b, m, v) y = Relu(n)", 17),
        (f"n = {NORM} (x, s, b, m, v) y = Relu(n)", 9),
        (f"n, p, q = {NORM} <training_mode = 1> (x, s, b, m, v) y = Relu(n)", 15),
        (f"n, p, q, r, t = {NORM} (x, s, b, m, v) y = Relu(n)", 9),
    ],
)
def test_forms_of_the_operator(nodes: str, opset: int) -> None:
    executor = compare(model_of(nodes, opset=opset))
    assert [reasons(executor, name) for name in sorted(NAMES)] == [[""], [""]]


@needs_library
@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (f"n = {NORM} (x, s, b, m, v) r = Relu(n) y = Add(r, n)", "y"),
        (f"n = {NORM} (x, s, b, m, v) y = Relu(n)", "y n"),
        (f"n = {NORM} (x, s, b, m, v) y = Tanh(n)", "y"),
    ],
)
def test_what_is_normalized_is_used_elsewhere(nodes: str, outputs: str) -> None:
    executor = compare(model_of(nodes, outputs))
    assert reasons(executor, "trained batch norm") == [""]
    assert reasons(executor, "trained batch norm activation") == []


@pytest.mark.parametrize(
    ("nodes", "options", "reason"),
    [
        (
            f"n, p, q = {NORM} <training_mode = 1> (x, s, b, m, v) y = Relu(n)",
            {"outputs": "y p q"}, "its statistics are used",
        ),
        (
            f"n = {NORM} (x, s, b, m, v) y = Relu(n)",
            {"kind": "double"}, "not all of its inputs are known to be float32",
        ),
        (
            f"w = Abs(v) n = {NORM} (x, s, b, m, w) y = Relu(n)",
            {}, "its running statistics are computed",
        ),
        (
            f"f = ReduceMean<axes = [3], keepdims = 0>(x) n = {NORM} (f, s, b, m, v) y = Relu(n)",
            {}, None,
        ),
        (f"n = {NORM} (x, s, b, m, v) y = Relu(n)", {"opset": 7}, None),
    ],
)  # fmt: skip
def test_what_stays(nodes: str, options: dict[str, Any], reason: str | None) -> None:
    executor = compare(model_of(nodes, **options))
    expected = [] if reason is None or not onednn.is_available() else [reason]
    assert reasons(executor, "trained batch norm") == expected


@needs_library
@pytest.mark.parametrize("sizes", [(7, 8), (8, 9)])
def test_parameters_of_other_channels(sizes: tuple[int, int]) -> None:
    x = random(2, 8, 3, 3).contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match=r"has the shape \((7|9),\) where \(8,\) is needed"):
        normalize_images(x, random(sizes[0]), random(sizes[1]), 1e-5, True)


def test_what_is_differentiated_twice() -> None:
    model = model_of(f"n = {NORM} (x, s, b, m, v) y = Relu(n)")
    (y,), (x,) = model.outputs.values(), model.inputs.values()
    (first,) = ht.gradients(ht.op.ReduceSum(y * y * y, keepdims=False), [x])
    loss = ht.op.ReduceSum(first * first, keepdims=False)
    data = random(3, CHANNELS, 6, 5).contiguous(memory_format=torch.channels_last)
    results = []
    for optimize in (False, True):
        step = ht.optim.SGDOptimizer(1e-6).minimize(loss)
        executor = ht.Executor([*ht.gradients(loss, [x]), step], optimize=optimize)
        results.append(executor.run(feed_dict={x: data}, convert_to_numpy_ret_vals=True)[0])
    np.testing.assert_allclose(*results, rtol=1e-3, atol=1e-3)


_STEPS = ("norm", "relu", "tanh", "add", "square")


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.sampled_from(_STEPS), min_size=1, max_size=6), st.booleans())
def test_random_graphs(steps: list[str], keeps_middle: bool) -> None:
    """Norms and ReLUs in any order, some of whose results are used twice."""
    lines, last = ["x0 = Identity(x)"], 0
    for number, step in enumerate(["norm", *steps], start=1):
        lines.append(
            {
                "norm": f"x{number} = {NORM} (x{last}, s, b, m, v)",
                "relu": f"x{number} = Relu(x{last})",
                "tanh": f"x{number} = Tanh(x{last})",
                "add": f"x{number} = Add(x{last}, x{max(last - 1, 0)})",
                "square": f"x{number} = Mul(x{last}, x{last})",
            }[step]
        )
        last = number
    lines.append(f"y = Tanh(x{last})")
    compare(model_of(" ".join(lines), f"y x{last // 2}" if keeps_middle and last > 1 else "y"), 1)
