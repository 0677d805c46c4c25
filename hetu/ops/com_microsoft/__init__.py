"""Operators of the domain `com.microsoft`: what ONNX Runtime's tools write into models."""
