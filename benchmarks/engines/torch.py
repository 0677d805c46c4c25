"""The module that the model was written from, in eager torch."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from benchmarks.build import export, make_module, write_model
from benchmarks.engines import MOMENTUM, RATE
from benchmarks.files import ModelFile
from benchmarks.workloads import Feeds, Workload

LOSSES = {
    "cross_entropy": lambda y, t: F.cross_entropy(y.flatten(0, -2), t.flatten()),
    "mean_square": F.mse_loss,
}


class Engine:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def build(self, workload: Workload) -> None:
        """Write the workload's files."""
        write_model(workload)

    def prepare(self, module: nn.Module) -> nn.Module:
        """The module in this engine's form."""
        return module

    def tensor(self, array: np.ndarray) -> Tensor:
        """A feed in this engine's form."""
        return torch.from_numpy(array)

    def load(self, workload: Workload, model: ModelFile) -> None:
        self.module = self.prepare(make_module(workload))

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        with torch.inference_mode():
            return [self.module(*map(self.tensor, feeds.values())).numpy()]

    def load_training(self, workload: Workload, model: ModelFile) -> None:
        module = make_module(workload).train()
        self.module, self.loss = self.prepare(module), LOSSES[workload.loss]
        self.optimizer = torch.optim.SGD(module.parameters(), RATE, momentum=MOMENTUM)

    def step(self, feeds: Feeds, targets: np.ndarray) -> float:
        self.optimizer.zero_grad()
        result = self.module(*map(self.tensor, feeds.values()))
        loss = self.loss(result, torch.from_numpy(targets))
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def export(self, workload: Workload, path: Path) -> None:
        export(self.module, workload, path)
