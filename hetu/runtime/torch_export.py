"""Torch modules to ONNX files, through torch's exporters."""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.onnx import TrainingMode

from hetu.errors import UnsupportedError, UsageError

_LARGE_BYTES = 1 << 30
"""Weights that take more than this go into a file of their own."""


def export_module(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    path: Path,
    *,
    dynamo: bool,
    training: bool,
    options: Mapping[str, Any],
) -> None:
    """Write a module to `path` such that its weights keep their names and forms.

    Neither exporter is let optimize: that folds weights, or makes one of two that happen to be
    equal. `options` are those of `torch.onnx.export`. Raises `UsageError` where the exporter is not
    installed, `UnsupportedError` where it fails.
    """
    if dynamo:
        size = sum(p.numel() * p.element_size() for p in module.parameters())
        chosen = {"optimize": False, "external_data": size > _LARGE_BYTES}
    else:
        names = {"input_names": _input_names(module, args, kwargs)}
        chosen = {"do_constant_folding": False, "training": TrainingMode.PRESERVE, **names}
    try:
        with _mode(module, training), torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module, tuple(args), path, kwargs=dict(kwargs) or None, dynamo=dynamo,
                verbose=False, **{**chosen, **options},
            )  # fmt: skip
    except ImportError as error:
        raise UsageError(
            f"torch's exporter needs {error.name}, which is not installed: `pip install "
            "onnxscript`, or give dynamo=False"
        ) from error
    except Exception as error:
        raise UnsupportedError(f"torch cannot export {type(module).__name__}: {error}") from error


@contextmanager
def _mode(module: nn.Module, training: bool) -> Iterator[None]:
    """Every part in training mode or not, and as it was afterwards.

    Parts with running statistics never train here: tracing would change the statistics, and graphs
    of hetu train them whatever the file says.
    """
    modes = {part: part.training for part in module.modules()}
    try:
        for part in modes:
            part.training = training and not _has_statistics(part)
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _input_names(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[str] | None:
    """The inputs' names as the module has them; None where an input is not a single tensor."""
    bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    is_plain = all(isinstance(content, torch.Tensor) for content in bound.values())
    return list(bound) if is_plain else None


def _has_statistics(part: nn.Module) -> bool:
    return isinstance(part, _NormBase) and part.track_running_stats
