"""Triton's entry into the model `search`."""

from fuserank_ensemble.graph.steps.search import Search
from fuserank_ensemble.serving.triton import stage_model

TritonPythonModel = stage_model(Search)
