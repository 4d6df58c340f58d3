"""What a shop hands in: its catalogue and its log, read from Parquet, CSV or JSONL and validated row by row."""

from export.sources.catalog import Catalog, read_catalog
from export.sources.impressions import Impressions
from export.sources.interactions import EVENTS, Interactions, read_interactions
from export.sources.report import BadRow, InputError, RowReport
from export.sources.rows import read_rows

__all__ = [
    "EVENTS",
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
