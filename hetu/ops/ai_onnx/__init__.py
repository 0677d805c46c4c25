"""Operators of the domain `ai.onnx`, one file per family."""
