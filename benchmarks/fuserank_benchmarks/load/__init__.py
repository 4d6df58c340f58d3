"""Load on the graph: questions as people ask them, closed and open loops."""
