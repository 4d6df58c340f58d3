"""Triton's entry into the similar model."""

from ensemble.stages.similar import Similar
from ensemble.triton import stage_model

TritonPythonModel = stage_model(Similar)
