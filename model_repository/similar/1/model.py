"""Triton's entry into the model `similar`."""

from fuserank_ensemble.graph.steps.similar import Similar
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Similar)
