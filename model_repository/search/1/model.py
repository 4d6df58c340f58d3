"""Triton's entry into the whole graph in one process, where `search` is no ensemble."""

from ensemble.stages.search import Search
from ensemble.triton import stage_model

TritonPythonModel = stage_model(Search)
