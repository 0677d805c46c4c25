"""Operators of the domain `hetu`: what ONNX has no operator for."""
