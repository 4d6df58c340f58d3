"""Serving: the stages of the graph, and the embedded server that hosts them."""
