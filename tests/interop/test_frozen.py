"""What is frozen costs no gradient memory, and does not move."""

from pathlib import Path

import numpy as np
import pytest
import torch

import hetu as ht
from hetu.onnx import load_onnx
from tests.interop.zoo.cases import Case, Exported


def saved_bytes(exported: Exported, trainable: object) -> tuple[int, set[str]]:
    """What autograd keeps in one step, and which variables the step changes."""
    model = load_onnx(exported.path, trainable=trainable)  # pyright: ignore
    y = next(iter(model.outputs.values()))
    train_op = ht.optim.SGDOptimizer(0.1).minimize(ht.op.ReduceMean(y * y, keepdims=0))
    executor = ht.Executor([train_op])
    before = {name: array.copy() for name, array in executor.state_dict().items()}
    kept = dict[int, int]()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        executor.run(feed_dict=exported.feeds(exported.architecture.inputs))
    after = executor.state_dict()
    return sum(kept.values()), {n for n in before if not np.array_equal(before[n], after[n])}


@pytest.mark.parametrize(
    ("family", "name", "head"),
    [("convolutional", "cnn", r"head\.3\..*"), ("pretrained", "bert", r"model\.classifier\..*")],
)
def test_frozen_parts_cost_no_gradient_memory(
    family: str, name: str, head: str, tmp_path: Path
) -> None:
    exported = Exported(Case(family, name, "script-kept"), tmp_path / "model.onnx")
    everything, _ = saved_bytes(exported, True)
    few, moved = saved_bytes(exported, head)
    # what the last layer and the loss need: its input, its weight, its output
    assert few < 0.05 * everything
    statistics = {n for n in moved if n.endswith(("running_mean", "running_var"))}
    weights = {n.rpartition(".")[0] for n in moved - statistics}
    assert weights == {head.replace("\\", "").removesuffix(".*").rstrip(".")}
