"""The stages of the graph as plain classes; Triton meets them only in `fuserank_ensemble.serving.triton`."""
