"""Triton's entry into the model `catalog`."""

from fuserank_ensemble.graph.steps.catalog import Catalog
from fuserank_ensemble.serving.triton import triton_model

TritonPythonModel = triton_model(Catalog)
