"""Triton's entry into the model `record`."""

from fuserank_ensemble.graph.steps.record import Record
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Record)
