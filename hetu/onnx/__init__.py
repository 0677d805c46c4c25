"""ONNX files in and out; the only package that touches protobuf."""

from hetu.onnx import engines, hetu2onnx, onnx2hetu
from hetu.onnx.bridges import from_module, to_module, to_proto
from hetu.onnx.hetu2onnx import export
from hetu.onnx.info import ModelInfo, inspect_model
from hetu.onnx.onnx2hetu import LoadedModel, load_onnx
from hetu.onnx.surgery import change_batch, rename
from hetu.onnx.verification.report import Comparison, Report
from hetu.onnx.verification.verify import verify
from hetu.onnx.weights import WeightMatch, WeightMatches, match_weights
from hetu.ops.custom import register

__all__ = [
    "Comparison",
    "LoadedModel",
    "ModelInfo",
    "Report",
    "WeightMatch",
    "WeightMatches",
    "change_batch",
    "engines",
    "export",
    "from_module",
    "hetu2onnx",
    "inspect_model",
    "load_onnx",
    "match_weights",
    "onnx2hetu",
    "register",
    "rename",
    "to_module",
    "to_proto",
    "verify",
]
