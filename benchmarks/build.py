"""Writes a workload's files with torch's exporter, in its default form."""

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.files import FORMS, cache_folder, finish_folder, start_folder
from benchmarks.workloads import Workload

EXPORT_BATCH = 2
"""Exporters take a batch of one for a fixed size."""

OLDER_OPSET = 14
"""The first that scaled dot product attention is exported at."""


def make_module(workload: Workload) -> nn.Module:
    """The workload's module, in inference, with the same weights every time."""
    torch.manual_seed(0)
    make = getattr(import_module(f"benchmarks.models.{workload.family}"), workload.name)
    return make().eval()


def write_model(workload: Workload) -> None:
    """Write the workload's files to where `find_model` looks for them."""
    folder = cache_folder(workload)
    module, draft = make_module(workload), start_folder(folder)
    facts = _write_forms(module, workload, draft) | {
        "weights": sum(p.numel() * p.element_size() for p in module.parameters()),
        "flops": count_flops(module, workload),
    }
    finish_folder(draft, folder, facts)


def _write_forms(module: nn.Module, workload: Workload, folder: Path) -> dict[str, str]:
    """Write all forms of the model; their files' names."""
    forms = dict.fromkeys(FORMS, "model.onnx")
    family = import_module(f"benchmarks.models.{workload.family}")
    if hasattr(family, "write"):  # what torch's exporter cannot write has one form
        family.write(module, folder / forms["path"])
        return forms
    export(module, workload, folder / forms["path"])
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        forms["trainable"] = "trainable.onnx"  # the default form folds them into the weights
        export(module, workload, folder / forms["trainable"], optimize=False)
    with suppress(torch.onnx.errors.OnnxExporterError):  # GPT-2 has no older form
        _export_older(module, workload, folder / "older.onnx")
        forms["older"] = "older.onnx"
    return forms


def _export_older(module: nn.Module, workload: Workload, path: Path) -> None:
    """As the exporter before wrote it, without the folded weights that onnx2torch fails on."""
    inputs, names = _inputs(workload), list(workload.inputs)
    torch.onnx.export(
        module, inputs, path, input_names=names, dynamo=False, opset_version=OLDER_OPSET,
        dynamic_axes={name: {0: "batch"} for name in names}, do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
    )  # fmt: skip


def _inputs(workload: Workload) -> tuple[torch.Tensor, ...]:
    return tuple(map(torch.from_numpy, workload.feeds(EXPORT_BATCH).values()))


def export(module: nn.Module, workload: Workload, path: Path, **options: Any) -> None:
    """Write the module as its user would, with any batch size."""
    inputs = _inputs(workload)
    batches = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    torch.onnx.export(
        module, inputs, path, input_names=list(workload.inputs), dynamo=True, verbose=False,
        dynamic_shapes=(batches,) if _is_variadic(module) else batches, **options,
    )  # fmt: skip


def _is_variadic(module: nn.Module) -> bool:
    return bool(module.forward.__code__.co_flags & 0x04)


def count_flops(module: nn.Module, workload: Workload) -> float:
    """Floating-point operations of one example: products and sums of matrices and convolutions."""
    inputs = [torch.from_numpy(array) for array in workload.feeds(1).values()]
    # Without oneDNN, recurrent layers are the products that the counter knows.
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        module(*inputs)
    return float(counter.get_total_flops())
