"""Engines that run inference subgraphs: `Executor(..., backend=...)`."""

from hetu.onnx.engines import onnxruntime, openvino

__all__ = ["onnxruntime", "openvino"]
