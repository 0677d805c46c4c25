"""Kernels that run in torch's fused kernels where they can: both ways agree, gradients included."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from onnx import parser

import hetu as ht
from hetu.ops.registry import FUSED, find

FAR = 1e6
"""A bound that nothing reaches: a recurrent layer that clips runs step by step."""


def compare(
    one: Callable[..., Sequence[Any]], other: Callable[..., Sequence[Any]], *inputs: torch.Tensor
) -> None:
    """Both have the same results, and the same finite gradients."""
    outputs, gradients = [], []
    for function in (one, other):
        points = [x.clone().requires_grad_() for x in inputs]
        results = function(*points)
        generator = torch.Generator().manual_seed(0)
        seeds = [torch.randn(y.shape, dtype=y.dtype, generator=generator) for y in results]
        outputs.append([y.detach() for y in results])
        gradients.append(torch.autograd.grad(results, points, seeds))
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(gradients[0], gradients[1])
    assert all(gradient.isfinite().all() for gradient in gradients[0])


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("lengths", [None, (5, 3, 4)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(
    ("op_type", "gates", "attributes"),
    [
        ("LSTM", 4, {}),
        ("GRU", 3, {"linear_before_reset": 1}),
        ("RNN", 1, {}),
        ("RNN", 1, {"activations": ("Relu", "Relu")}),
    ],
)
def test_recurrent_layers(
    op_type: str,
    gates: int,
    attributes: dict[str, Any],
    direction: str,
    lengths: tuple[int, ...] | None,
    layout: int,
) -> None:
    kernel = find("", op_type, 22)
    assert kernel is not None
    n, size = 2 if direction == "bidirectional" else 1, 4
    state = random(3, n, size) if layout else random(n, 3, size)

    def run(clip: float | None, *inputs: torch.Tensor) -> Sequence[torch.Tensor]:
        x, w, r, b, *states = inputs
        return kernel.function(
            x, w, r, b, lengths, *states,
            direction=direction, layout=layout, clip=clip, **attributes,
        )  # fmt: skip

    inputs = [
        random(3, 5, 2) if layout else random(5, 3, 2),
        random(n, gates * size, 2),
        random(n, gates * size, size),
        random(n, 2 * gates * size),
        *([state] * (2 if op_type == "LSTM" else 1)),
    ]
    compare(lambda *xs: run(None, *xs), lambda *xs: run(FAR, *xs), *inputs)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize(
    ("op_type", "gates", "attributes"),
    [
        ("GRU", 3, {"linear_before_reset": 1}),
        ("RNN", 1, {}),
        ("RNN", 1, {"activations": ("Relu", "Relu")}),
    ],
)
def test_derivatives_of_recurrent_layers(
    op_type: str, gates: int, attributes: dict[str, Any], direction: str
) -> None:
    """Against differences: gradients, and gradients of gradients."""
    kernel = find("", op_type, 22)
    assert kernel is not None
    n, size = 2 if direction == "bidirectional" else 1, 3
    inputs = [random(3, 2, 2), random(n, gates * size, 2), random(n, gates * size, size)]
    inputs += [random(n, 2 * gates * size), random(n, 2, size)]

    def run(x: torch.Tensor, w: torch.Tensor, r: torch.Tensor, b: torch.Tensor, h: torch.Tensor):
        given = {"direction": direction, **attributes}
        return kernel.function(x, w, r, b, None, h, **given)

    points = [x.clone().requires_grad_() for x in inputs]
    assert torch.autograd.gradcheck(run, points)
    assert torch.autograd.gradgradcheck(run, points)
    frozen = [x.requires_grad_(i in (0, 4)) for i, x in enumerate(points)]
    assert torch.autograd.gradgradcheck(run, frozen)


def test_states_are_apart_from_outputs() -> None:
    kernel = find("", "RNN", 22)
    assert kernel is not None
    y, h = kernel.function(random(3, 2, 2), random(1, 4, 2), random(1, 4, 4))
    assert y.untyped_storage().data_ptr() != h.untyped_storage().data_ptr()


MASK = torch.tensor([[True, False, True], [False, False, False], [True, True, True]])


@pytest.mark.parametrize("mask", [None, MASK, torch.where(MASK, 0.5, -math.inf).double()])
@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"is_causal": True},
        {"is_causal": True, "left_window_size": 1, "scale": 0.3},
        {"left_window_size": 0, "right_window_size": 1},
    ],
)
def test_attention(mask: torch.Tensor | None, kv_heads: int, attributes: dict[str, Any]) -> None:
    """A query that sees no key has the result 0 and no gradient, not NaN."""
    kernel = find("", "Attention", 25)
    assert kernel is not None

    def run(n_outputs: int, *inputs: torch.Tensor) -> Sequence[torch.Tensor]:
        y, *_ = kernel.function(*inputs, mask, n_outputs=n_outputs, **attributes)
        return (y,)

    inputs = random(2, 2, 3, 4), random(2, kv_heads, 3, 4), random(2, kv_heads, 3, 5)
    compare(lambda *xs: run(1, *xs), lambda *xs: run(4, *xs), *inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-0.1, 0.1), (1.0, 1.0), (-1e30, 2.0)])
def test_gradients_at_the_bounds_of_clips(dtype: torch.dtype, low: float, high: float) -> None:
    """They pass at a bound itself and not at the next number beyond it, as in torch.clamp."""
    kernel = find(FUSED, "Clip", 1)
    assert kernel is not None
    bounds = torch.tensor([low, high], dtype=dtype)
    ends = [torch.nextafter(bounds, bounds.new_tensor(far)) for far in (-math.inf, math.inf)]
    x = torch.cat([bounds, *ends, random(8).to(dtype) * 4])
    compare(lambda x: [kernel.function(x, low=low, high=high)], lambda x: [x.clamp(low, high)], x)


@pytest.mark.parametrize(
    ("bounds", "fuses"),
    [("min = 0.0, max = 6.0", True), ("max = 0.5", True), ("min = 2.0, max = 1.0", False)],
)
def test_clips_that_train(bounds: str, fuses: bool) -> None:
    text = f"""<ir_version: 8, opset_import: ["" : 6]>
    g (float[4, 5] x) => (float[4, 5] y) {{ y = Clip <{bounds}> (x) }}"""
    results = []
    for optimize in (True, False):
        model = ht.onnx.load_onnx(parser.parse_model(text))
        x, y = model["x"], model["y"]
        executor = ht.Executor([y, *ht.gradients([y * y], [x])], optimize=optimize)
        results.append(executor.run(feed_dict={"x": 3 * random(4, 5).float().numpy()}))
        notes = [n for n in executor.explain() if n.fusion == "trained clip" and not n.reason]
        assert len(notes) == (fuses and optimize)
    for fast, plain in zip(*results, strict=True):
        torch.testing.assert_close(fast.asnumpy(), plain.asnumpy())
