"""Triton's entry into the model `rerank`."""

from fuserank_ensemble.graph.steps.rerank import Rerank
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Rerank)
