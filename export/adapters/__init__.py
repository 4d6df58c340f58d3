"""Turns known data sets into the input formats of `export.sources`."""
