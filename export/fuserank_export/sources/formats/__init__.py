"""Reads the rows of a Parquet, CSV, TSV or JSONL file as chunks of bounded size, each row with its line number."""
