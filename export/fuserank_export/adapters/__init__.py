"""Converts public data sets to the input formats of `fuserank_export.sources`."""
