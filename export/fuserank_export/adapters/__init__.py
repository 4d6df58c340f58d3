"""Turns known data sets into the input formats of `fuserank_export.sources`."""
