"""Triton's entry into the model `embed`."""

from fuserank_ensemble.graph.steps.embed import Embed
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Embed)
