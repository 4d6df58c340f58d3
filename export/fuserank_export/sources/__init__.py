"""Reads and validates a shop's input files: catalogue, log of interactions, queries and judgements."""

from fuserank_export.sources.catalog import Catalog, read_catalog
from fuserank_export.sources.formats.rows import read_rows
from fuserank_export.sources.impressions import Impressions
from fuserank_export.sources.interactions import Interactions
from fuserank_export.sources.log_reader import read_interactions
from fuserank_export.sources.report import BadRow, InputError, RowReport

__all__ = [
    "BadRow",
    "Catalog",
    "Impressions",
    "InputError",
    "Interactions",
    "RowReport",
    "read_catalog",
    "read_interactions",
    "read_rows",
]
