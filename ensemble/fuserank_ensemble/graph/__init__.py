"""The steps of the graph, and the executor that runs them."""
