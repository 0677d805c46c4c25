"""The process that runs ONNX Runtime; it knows nothing of hetu, so that it starts fast."""
