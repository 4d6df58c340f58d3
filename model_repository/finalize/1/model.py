"""Triton's entry into the finalize stage."""

from ensemble.stages.finalize import Finalize
from ensemble.triton import stage_model

TritonPythonModel = stage_model(Finalize)
