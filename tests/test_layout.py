"""Training on images whose channels lie side by side: the same losses, statistics and weights."""

import numpy as np
import pytest
import torch
from torch import nn

import hetu as ht
from hetu.ops.registry import FUSED, find
from hetu.passes import layout

SHAPE = (4, 6, 9, 9)


class Block(nn.Module):
    """Convolutions with windows of `sizes`, in `groups`, one after the other and around."""

    def __init__(self, sizes: list[int], groups: list[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(6, 6, size, padding=size // 2, groups=group)
            for size, group in zip(sizes, groups, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(6) for _ in sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + torch.tanh(norm(conv(x)))
        return x.flatten(1)


def losses(module: nn.Module, x: torch.Tensor) -> list[float]:
    optimizer, results = torch.optim.SGD(module.parameters(), 0.05), []
    for _ in range(5):
        optimizer.zero_grad()
        loss = module.train()(x).square().mean()
        loss.backward()
        optimizer.step()
        results.append(float(loss.detach()))
    return results


@pytest.mark.parametrize(
    ("sizes", "groups", "gains", "moves"),
    [
        ([1, 3, 1], [1, 6, 1], False, True),
        ([3, 1], [1, 1], False, True),
        ([3, 3, 1], [1, 1, 1], False, False),
        ([3, 3], [1, 1], True, True),
        ([3, 3, 3], [6, 6, 1], True, True),
    ],
)
def test_training(
    sizes: list[int],
    groups: list[int],
    gains: bool,
    moves: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where windows of many pixels gain on the processor, and where they do not."""
    monkeypatch.setattr(layout, "has_wide_products", lambda: gains)
    torch.manual_seed(0)
    module, x = Block(sizes, groups), torch.randn(SHAPE)
    model = ht.onnx.from_module(module, (x,))
    (y,) = model.outputs.values()
    loss = ht.op.ReduceMean(y * y, keepdims=False)
    step = ht.optim.SGDOptimizer(0.05).minimize(loss)
    executor = ht.Executor({"train": [loss, step, y], "eval": [y]})
    feeds = {name: x.numpy() for name in model.inputs}
    ours = [executor.run("train", feed_dict=feeds)[0].asnumpy() for _ in range(5)]
    np.testing.assert_allclose(ours, losses(module, x), rtol=1e-4)
    notes = [n for n in executor.explain("train") if n.fusion == "channels last"]
    assert [not note.reason for note in notes] == [moves] * len(sizes)
    (result,) = executor.run("eval", feed_dict=feeds, convert_to_numpy_ret_vals=True)
    with torch.no_grad():
        np.testing.assert_allclose(result, module.eval()(x), rtol=1e-3, atol=1e-4)


def test_images_are_brought_into_order() -> None:
    kernel = find(FUSED, "ChannelsLast", 1)
    assert kernel is not None
    x = torch.randn(SHAPE)
    y = kernel.function(x)
    assert y.is_contiguous(memory_format=torch.channels_last) and torch.equal(x, y)
    assert kernel.function(y) is y


def test_images_of_one_channel_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "has_wide_products", lambda: True)
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3), nn.Flatten())
    model = ht.onnx.from_module(module, (torch.randn(2, 1, 9, 9),))
    (y,) = model.outputs.values()
    step = ht.optim.SGDOptimizer(0.05).minimize(ht.op.ReduceMean(y, keepdims=False))
    executor = ht.Executor([y, step])
    executor.run(feed_dict={name: np.ones((2, 1, 9, 9), np.float32) for name in model.inputs})
    reasons = [note.reason for note in executor.explain() if note.fusion == "channels last"]
    assert reasons == ["most convolutions are no faster so"] * 2
