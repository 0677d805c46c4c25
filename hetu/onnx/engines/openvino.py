"""Inference in OpenVINO."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hetu.errors import UnsupportedError, show
from hetu.ir import Value
from hetu.onnx.engines.model import ModelFile, load_library
from hetu.runtime.engine import Session, register_engine
from hetu.runtime.params import ParameterStore
from hetu.types import STRING, TensorType


@register_engine("openvino")
def load_session(
    store: ParameterStore, inputs: Sequence[Value], outputs: Sequence[Value], threads: int
) -> Session:
    """A model compiled by OpenVINO for the CPU, which computes float32 in float32."""
    library = load_library("openvino")
    for value in (*inputs, *outputs):
        _check_type(value)
    file = ModelFile("openvino", store, inputs, outputs)
    core = library.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(core.read_model(file.path), "CPU", config)

    def run(feeds: Sequence[Any]) -> Sequence[Any]:
        # by position: a tensor that two names in a file stand for may have either here
        results = compiled([np.ascontiguousarray(f) if f.ndim else f for f in feeds])
        return [np.array(results[position]) for position in file.positions]

    return run


def _check_type(value: Value) -> None:
    if not isinstance(value.type, TensorType | None) or value.dtype is STRING:
        raise UnsupportedError(
            f"{show(value.name)}: openvino takes and gives tensors of numbers only; "
            "leave out backend='openvino' to run it on torch"
        )
