"""The model files that ONNX Runtime is given."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hetu.ir import Tensor
from hetu.onnx.onnx2hetu import read_proto
from hetu.onnx.proto import write_tensor
from hetu.onnx.verification.runtime import Job


def main_job(path: Path, feeds: Mapping[str, Any], folder: Path) -> Job:
    """The model as users run it: the file itself, optimized.

    Only where ONNX Runtime's Python API cannot be given a feed, the feed is written into a copy.
    """
    constants = _unfeedable(feeds)
    if not constants:
        return Job(path)
    model, _ = read_proto(path)
    _fix_inputs(model, constants)
    return _write(model, path, folder / "fixed.onnx", is_optimized=True)


def intermediates_job(
    model: onnx.ModelProto, names: Iterable[str], path: Path, feeds: Mapping[str, Any], folder: Path
) -> Job:
    """A model with more values as outputs; its nodes run as they are, so that these exist."""
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    _fix_inputs(model, _unfeedable(feeds))
    return _write(model, path, folder / "intermediates.onnx", is_optimized=False)


def feedable(feeds: Mapping[str, Any]) -> dict[str, Any]:
    """The feeds that are not written into the model."""
    constants = _unfeedable(feeds)
    return {name: value for name, value in feeds.items() if name not in constants}


def _unfeedable(feeds: Mapping[str, Any]) -> dict[str, np.ndarray]:
    arrays = {name: value for name, value in feeds.items() if isinstance(value, np.ndarray)}
    return {n: a for n, a in arrays.items() if a.dtype.type.__module__ == "ml_dtypes"}


def _fix_inputs(model: onnx.ModelProto, constants: Mapping[str, np.ndarray]) -> None:
    """Turn inputs into initializers."""
    inputs = [info for info in model.graph.input if info.name not in constants]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name not in constants]
    del model.graph.input[:], model.graph.initializer[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(tensors)
    model.graph.initializer.extend(write_tensor(Tensor(a), name) for name, a in constants.items())


def _write(model: onnx.ModelProto, source: Path, target: Path, is_optimized: bool) -> Job:
    target.write_bytes(model.SerializeToString())
    return Job(target, external=source.parent, optimize=is_optimized)


def has_external_data(model: onnx.ModelProto) -> bool:
    """Whether weights lie in files beside the model."""
    external = onnx.TensorProto.EXTERNAL
    return any(tensor.data_location == external for tensor in model.graph.initializer)
