"""Operators of the domain `com.microsoft`: what ONNX Runtime has beyond ONNX."""
