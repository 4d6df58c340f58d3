"""Triton's entry into the model `retrieve`."""

from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Retrieve)
