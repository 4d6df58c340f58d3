"""Triton's entry into the Python-based `onnxruntime` backend of the embedded server."""

from fuserank_ensemble.serving.backends.onnx import TritonPythonModel

__all__ = ["TritonPythonModel"]
