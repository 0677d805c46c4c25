"""Carries out the job in a folder: loads a model into ONNX Runtime, runs it, writes its results."""

import ctypes
import json
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from exchange import read_values, write_values

_EXTENSIONS = {
    "bfloat16": "bfloat16",
    "float8e4m3fn": "float8_e4m3fn",
    "float8e4m3fnuz": "float8_e4m3fnuz",
    "float8e5m2": "float8_e5m2",
    "float8e5m2fnuz": "float8_e5m2fnuz",
    "float8e8m0": "float8_e8m0fnu",
    "float4e2m1": "float4_e2m1fn",
    "uint4": "uint4",
    "int4": "int4",
    "uint2": "uint2",
    "int2": "int2",
}
"""Types whose tensors ONNX Runtime does not return as arrays, and what ml_dtypes calls them."""

_PACKED_BITS = {"uint4": 4, "int4": 4, "float4_e2m1fn": 4, "uint2": 2, "int2": 2}

EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


def main(folder: Path) -> None:
    """Read `job.json`, write `result.json`: outputs, or at which stage what went wrong."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = json.loads((folder / "job.json").read_text())
    stage = "load"
    result: dict[str, Any] = {"version": onnxruntime.__version__}
    try:
        session = _session(job)
        stage = "run"
        if job["feeds"] is not None:
            outputs = _run(session, read_values(job["feeds"], folder / "feeds"))
            result["outputs"] = write_values(outputs, folder / "outputs")
    except Exception as error:
        result |= {"stage": stage, "error": f"{type(error).__name__}: {error}"}
    (folder / "result.json").write_text(json.dumps(result))


def _session(job: Mapping[str, Any]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if not job["optimize"]:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if job["external"] is None:
        return onnxruntime.InferenceSession(job["model"], options, ["CPUExecutionProvider"])
    options.add_session_config_entry(EXTERNAL_FOLDER, job["external"])
    model = Path(job["model"]).read_bytes()
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def _run(session: onnxruntime.InferenceSession, feeds: Mapping[str, Any]) -> dict[str, Any]:
    types = {output.name: output.type for output in session.get_outputs()}
    elements = {
        name: _EXTENSIONS[text.removeprefix("tensor(").removesuffix(")")]
        for name, text in types.items()
        if text.removeprefix("tensor(").removesuffix(")") in _EXTENSIONS
    }
    plain = [name for name in types if name not in elements]
    results = dict(zip(plain, session.run(plain, feeds), strict=True)) if plain else {}
    if elements:
        values = session.run_with_ort_values(list(elements), _ort_values(feeds))
        pairs = zip(elements.items(), values, strict=True)
        results |= {name: _array(value, element) for (name, element), value in pairs}
    return {name: results[name] for name in types}


def _ort_values(feeds: Mapping[str, Any]) -> dict[str, Any]:
    return {n: onnxruntime.OrtValue.ortvalue_from_numpy(array) for n, array in feeds.items()}


def _array(value: onnxruntime.OrtValue, element: str) -> np.ndarray:
    """A copy of a tensor's memory as an array with one element per item."""
    count, bits = int(np.prod(value.shape())), _PACKED_BITS.get(element)
    size = value.tensor_size_in_bytes()
    data = np.frombuffer(ctypes.string_at(value.data_ptr(), size) if size else b"", np.uint8)
    if bits is not None:
        parts = [(data >> shift) & ((1 << bits) - 1) for shift in range(0, 8, bits)]
        data = np.ascontiguousarray(np.stack(parts, axis=-1).reshape(-1)[:count])
    return data.view(element).reshape(value.shape())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
