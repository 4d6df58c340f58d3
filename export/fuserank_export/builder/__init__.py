"""Builds a bundle: the steps from a shop's files to a sealed folder."""
