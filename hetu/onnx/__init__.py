"""ONNX files in and out; the only package that touches protobuf."""

from hetu.onnx import hetu2onnx, onnx2hetu
from hetu.onnx.hetu2onnx import export
from hetu.onnx.onnx2hetu import LoadedModel, load_onnx
from hetu.onnx.surgery import change_batch, rename

__all__ = [
    "LoadedModel",
    "change_batch",
    "export",
    "hetu2onnx",
    "load_onnx",
    "onnx2hetu",
    "rename",
]
