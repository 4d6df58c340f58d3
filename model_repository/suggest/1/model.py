"""Triton's entry into the model `suggest`."""

from fuserank_ensemble.graph.steps.suggest import Suggest
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Suggest)
