"""Triton's entry into the Python-based `onnxruntime` backend of the embedded server."""

from fuserank_ensemble.graph.session import TritonPythonModel

__all__ = ["TritonPythonModel"]
