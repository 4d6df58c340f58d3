"""Triton's entry into the preprocess stage."""

from ensemble.stages.preprocess import Preprocess
from ensemble.triton import stage_model

TritonPythonModel = stage_model(Preprocess)
