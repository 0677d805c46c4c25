"""Inference in ONNX Runtime."""

from collections.abc import Sequence
from typing import Any

from hetu.ir import Value
from hetu.onnx.engines.model import ModelFile, load_library
from hetu.runtime.engine import Session, register_engine
from hetu.runtime.params import ParameterStore


@register_engine("onnxruntime")
def load_session(
    store: ParameterStore, inputs: Sequence[Value], outputs: Sequence[Value], threads: int
) -> Session:
    """A session of ONNX Runtime on the CPU."""
    library = load_library("onnxruntime")
    file = ModelFile("onnxruntime", store, inputs, outputs)
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = library.InferenceSession(file.path, options, ["CPUExecutionProvider"])

    def run(feeds: Sequence[Any]) -> Sequence[Any]:
        return session.run(file.outputs, dict(zip(file.inputs, feeds, strict=True)))

    return run
