"""ONNX files in and out; the only package that touches protobuf."""

from hetu.onnx import hetu2onnx, onnx2hetu
from hetu.onnx.hetu2onnx import export
from hetu.onnx.info import ModelInfo, inspect_model
from hetu.onnx.onnx2hetu import LoadedModel, load_onnx
from hetu.onnx.surgery import change_batch, rename
from hetu.onnx.verification.report import Comparison, Report
from hetu.onnx.verification.verify import verify
from hetu.ops.custom import register

__all__ = [
    "Comparison",
    "LoadedModel",
    "ModelInfo",
    "Report",
    "change_batch",
    "export",
    "hetu2onnx",
    "inspect_model",
    "load_onnx",
    "onnx2hetu",
    "register",
    "rename",
    "verify",
]
