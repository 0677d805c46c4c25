"""hetu: ONNX models that train."""
