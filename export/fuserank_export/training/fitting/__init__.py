"""Fits the ranker to cases and measures how well it ranks."""
