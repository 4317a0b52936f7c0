"""The ONNX backend: exported folders answer with onnxruntime alone, without torch."""
