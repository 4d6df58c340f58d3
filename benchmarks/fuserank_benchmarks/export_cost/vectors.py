"""Fills a vector cache with made vectors, so that an export can be measured without its encoder's time."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from fuserank_benchmarks.inputs.vectors import noisy_copies
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.builder.embed import write_encoder
from fuserank_export.builder.options import EncoderOptions
from fuserank_export.embedding.blocks import block_path, write_block
from fuserank_export.embedding.embed import BLOCK_TEXTS
from fuserank_export.encoder.load import load_encoder
from fuserank_export.encoder.prompts import choose_templates
from fuserank_export.index.catalog import index_catalog
from fuserank_export.progress import Progress
from fuserank_export.sources import read_catalog

SEED = 31
CATEGORY_COSINE = 0.8  # of an item's vector to that of its category's name


def fill_vector_cache(catalog: Path, encoder: str, cache: Path, progress: Progress) -> None:
    """Writes a vector for each text of a catalogue: its category's, as the encoder embeds it, with noise.

    Args:
        catalog: A catalogue whose items all have a category.
        encoder: The encoder that the export is given, with the default options.
        cache: The folder that the export gets as `--vector-cache`.
        progress: Shows the steps.
    """
    loaded, options = load_encoder(encoder, EncoderOptions.pooling), EncoderOptions(source=encoder)
    templates = choose_templates(loaded.prompts, options.query_template, options.text_template)
    with progress.step("reading the catalogue for its vectors"):
        indexed = index_catalog(read_catalog(catalog), templates.text)
    first = np.unique(indexed.items.text, return_index=True)[1]  # an item of each text
    with tempfile.TemporaryDirectory() as folder:
        files = write_encoder(
            Path(folder) / "encoder", indexed.texts, loaded, options.precision, GraphSpec(), progress
        ).files
        originals = files.open().embed(indexed.items.columns.by_name["category"].words)
        digest = files.digest()
    draw = np.random.default_rng(SEED)
    cache.mkdir(parents=True, exist_ok=True)
    with progress.step("making vectors", len(first)) as advanced:
        for start in range(0, len(first), BLOCK_TEXTS):
            categories = indexed.items.category[first[start : start + BLOCK_TEXTS]]
            vectors = noisy_copies(originals, categories.astype(np.int64), CATEGORY_COSINE, draw)
            write_block(block_path(cache, digest, indexed.texts[start : start + BLOCK_TEXTS]), vectors)
            advanced(len(vectors))
