"""The forms in which torch exports a module."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.interop.zoo.architecture import Architecture

PRESERVE, TRAINING = torch.onnx.TrainingMode.PRESERVE, torch.onnx.TrainingMode.TRAINING

EXPORTERS: dict[str, dict[str, Any]] = {
    "script": {"dynamo": False, "opset_version": 17},
    "script-kept": {
        "dynamo": False, "opset_version": 14, "training": PRESERVE, "do_constant_folding": False,
    },
    "dynamo": {"dynamo": True},
    "dynamo-kept": {"dynamo": True, "opset_version": 20, "optimize": False},
}  # fmt: skip
"""The kept forms leave BatchNormalization beside Conv; the others fold it into the weights."""


def export(architecture: Architecture, exporter: str, path: Path) -> None:
    """Write an architecture's model."""
    options = dict(EXPORTERS[exporter])
    if options["dynamo"]:
        options |= {"dynamic_shapes": _dynamic_shapes(architecture), "external_data": False}
        options["verbose"] = False
    else:
        options["dynamic_axes"] = architecture.dynamic or None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            architecture.module, tuple(architecture.inputs.values()), str(path),
            input_names=list(architecture.inputs), **options,
        )  # fmt: skip


def _dynamic_shapes(architecture: Architecture) -> Any:
    axes = architecture.dynamic
    if not axes:
        return None
    shapes = tuple(
        dict.fromkeys(axes.get(name, {}), torch.export.Dim.DYNAMIC) for name in architecture.inputs
    )
    return (shapes,) if _is_variadic(architecture.module) else shapes


def _is_variadic(module: nn.Module) -> bool:
    parameters = inspect.signature(module.forward).parameters.values()
    return any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
