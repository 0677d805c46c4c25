"""An imported model in Lightning, in Accelerate and in a plain loop: each as plain torch trains it.

All start from the same weights and see the same batches, without dropout.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import accelerate
import lightning
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

import hetu as ht

RATE, EPOCHS = 0.05, 4


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        return self.head(F.avg_pool2d(x, 2).flatten(1))


@pytest.fixture(scope="module")
def original() -> nn.Module:
    torch.manual_seed(0)
    return Cnn()


@pytest.fixture(scope="module")
def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(48, 1, 8, 8, generator=generator)
    return TensorDataset(x, x.mean((1, 2, 3)).mul(20).round().long().clamp(-1, 1) + 1)


@pytest.fixture(scope="module")
def model(original: nn.Module) -> ht.onnx.LoadedModel:
    batch = {"x": {0: torch.export.Dim("batch")}}
    return ht.onnx.from_module(original, torch.randn(2, 1, 8, 8), dynamic_shapes=batch)


def batches(data: TensorDataset) -> DataLoader:
    return DataLoader(data, 16)


def plain(module: nn.Module, data: TensorDataset) -> list[float]:
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    losses = []
    for _ in range(EPOCHS):
        for x, y in batches(data):
            loss = F.cross_entropy(module.train()(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses


def with_accelerate(module: nn.Module, data: TensorDataset) -> list[float]:
    accelerator = accelerate.Accelerator(cpu=True)
    optimizer = torch.optim.Adam(module.parameters(), RATE)
    module, optimizer, loader = accelerator.prepare(module, optimizer, batches(data))
    losses = []
    for _ in range(EPOCHS):
        for x, y in loader:
            loss = F.cross_entropy(module.train()(x), y)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            losses.append(loss.item())
    return losses


class Task(lightning.LightningModule):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.losses: list[float] = []

    def training_step(self, batch: Any, index: int) -> Tensor:
        loss = F.cross_entropy(self.module(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), RATE)


def with_lightning(module: nn.Module, data: TensorDataset) -> list[float]:
    task = Task(module)
    lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(task, batches(data))  # fmt: skip
    return task.losses


@pytest.fixture(scope="module")
def expected(original: nn.Module, data: TensorDataset) -> Iterator[list[float]]:
    twin = Cnn()
    twin.load_state_dict(original.state_dict())
    yield plain(twin, data)


@pytest.mark.parametrize("loop", [plain, with_accelerate, with_lightning])
@pytest.mark.filterwarnings("ignore")
def test_trains_as_torch(
    loop: Any, model: Any, data: TensorDataset, expected: list[float], tmp_path: Path
) -> None:
    module = ht.onnx.to_module(model)
    losses = loop(module, data)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert np.mean(losses[-3:]) < 0.5 * np.mean(losses[:3])
    ht.onnx.export(module, module.inputs, module.outputs, tmp_path / "m.onnx")
    x = data.tensors[0][:5]
    with torch.no_grad():
        here = module.eval()(x).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], here, rtol=1e-4, atol=1e-5)
    names = {tensor.name for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert names >= set(module.state_dict())
