"""Triton's entry into the model `search`."""

from fuserank_ensemble.graph.single_process import SingleProcess
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(SingleProcess)
