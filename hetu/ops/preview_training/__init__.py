"""Operators of the domain `ai.onnx.preview.training`: optimizer steps as pure functions."""
