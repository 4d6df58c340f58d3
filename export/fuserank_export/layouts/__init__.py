"""Reads the files of other programs: their columns become the product's by a mapping that a TOML file holds."""
