"""hetu's results against ONNX Runtime's."""
