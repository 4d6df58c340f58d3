"""Triton's entry into the model `finalize`."""

from fuserank_ensemble.graph.steps.finalize import Finalize
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Finalize)
