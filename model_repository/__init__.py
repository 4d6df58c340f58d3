"""The graph as Triton sees it: one folder a stage."""
