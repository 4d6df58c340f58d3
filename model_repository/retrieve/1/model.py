"""Triton's entry into the model `retrieve`."""

from fuserank_ensemble.graph.steps.retrieve import Retrieve
from fuserank_ensemble.serving.triton import stage_model

TritonPythonModel = stage_model(Retrieve)
