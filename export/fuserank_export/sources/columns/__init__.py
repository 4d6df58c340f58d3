"""Validates the columns of a chunk of rows, and encodes texts as integers."""
