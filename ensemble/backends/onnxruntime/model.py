"""Triton's entry into the Python-based `onnxruntime` backend of the embedded server."""

from ensemble.backends.session import TritonPythonModel

__all__ = ["TritonPythonModel"]
