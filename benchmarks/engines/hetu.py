"""hetu: an executor over the loaded file, called as its user calls it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

import hetu as ht
from benchmarks.engines import MOMENTUM, RATE
from benchmarks.files import ModelFile
from benchmarks.workloads import Feeds, Workload

LABELS = {"cross_entropy": "int64", "mean_square": "float32"}


class Engine:
    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)

    def load(self, workload: Workload, model: ModelFile) -> None:
        self.model = ht.onnx.load_onnx(model.path)
        self.executor = ht.Executor(list(self.model.outputs.values()))

    def run(self, feeds: Feeds) -> list[np.ndarray]:
        return [result.asnumpy() for result in self.executor.run(feed_dict=feeds)]

    def load_training(self, workload: Workload, model: ModelFile) -> None:
        loaded = ht.onnx.load_onnx(model.trainable)
        (logits,) = loaded.outputs.values()
        targets = ht.Variable(name="targets", dtype=LABELS[workload.loss])
        loss = _loss(workload, logits, targets)
        train = ht.optim.MomentumOptimizer(RATE, momentum=MOMENTUM).minimize(loss)
        self.executor = ht.Executor({"train": [loss, train]})

    def step(self, feeds: Feeds, targets: np.ndarray) -> float:
        loss, _ = self.executor.run("train", feed_dict={**feeds, "targets": targets})
        return loss.asnumpy().item()

    def export(self, workload: Workload, path: Path) -> None:
        ht.onnx.export(
            self.executor, list(self.model.inputs.values()), list(self.model.outputs.values()), path
        )


def _loss(workload: Workload, logits: Any, targets: Any) -> Any:
    if workload.loss == "cross_entropy":
        return ht.op.ReduceMean(ht.softmaxcrossentropy_sparse_op(logits, targets))
    return ht.op.ReduceMean((logits - targets) * (logits - targets))
