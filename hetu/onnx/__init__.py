"""ONNX files in and out; the only package that touches protobuf."""

from hetu.onnx import hetu2onnx, onnx2hetu
from hetu.onnx.bridges import from_module, to_module, to_proto
from hetu.onnx.hetu2onnx import export
from hetu.onnx.onnx2hetu import LoadedModel, load_onnx
from hetu.onnx.weights import WeightMatch, WeightMatches, match_weights

__all__ = [
    "LoadedModel",
    "WeightMatch",
    "WeightMatches",
    "export",
    "from_module",
    "hetu2onnx",
    "load_onnx",
    "match_weights",
    "onnx2hetu",
    "to_module",
    "to_proto",
]
