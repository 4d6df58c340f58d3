"""Candidates of a request: found by all channels, fused, and described by the ranker's features."""
