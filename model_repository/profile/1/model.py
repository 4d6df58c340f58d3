"""Triton's entry into the model `profile`."""

from fuserank_ensemble.graph.steps.profile import Profile
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Profile)
