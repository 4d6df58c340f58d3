"""Triton's entry into the retrieve stage."""

from ensemble.stages.retrieve import Retrieve
from ensemble.triton import stage_model

TritonPythonModel = stage_model(Retrieve)
