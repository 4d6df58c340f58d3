"""Triton's entry into the model `similar`."""

from fuserank_ensemble.graph.steps.similar import Similar
from fuserank_ensemble.serving.triton import stage_model

TritonPythonModel = stage_model(Similar)
