"""Triton's entry into the model `preprocess`."""

from fuserank_ensemble.graph.steps.preprocess import Preprocess
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Preprocess)
