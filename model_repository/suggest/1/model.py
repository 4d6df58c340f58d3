"""Triton's entry into the suggest model."""

from ensemble.stages.suggest import Suggest
from ensemble.triton import stage_model

TritonPythonModel = stage_model(Suggest)
