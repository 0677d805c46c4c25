"""ONNX files in and out; the only package that touches protobuf."""

from hetu.onnx import hetu2onnx, onnx2hetu
from hetu.onnx.bridges import to_module, to_proto
from hetu.onnx.hetu2onnx import export
from hetu.onnx.onnx2hetu import LoadedModel, load_onnx

__all__ = [
    "LoadedModel",
    "export",
    "hetu2onnx",
    "load_onnx",
    "onnx2hetu",
    "to_module",
    "to_proto",
]
