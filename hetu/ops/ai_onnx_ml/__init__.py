"""Operators of the domain `ai.onnx.ml`: classical machine learning, one file per family."""
