"""A bundle's encoder, used on the queries and catalogues of any shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from fuserank_ensemble.bundle import Bundle, open_spelling
from fuserank_ensemble.catalog.text import query_text
from fuserank_ensemble.interactions.history import History
from fuserank_ensemble.retrieval.channel import ChannelQuery
from fuserank_ensemble.retrieval.index import CatalogIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.build import build_index
from fuserank_ensemble.understanding.quantities import Quantities
from fuserank_ensemble.understanding.query import QueryParser
from fuserank_export.embedding.embed import embed_texts
from fuserank_export.embedding.encoder_files import EncoderFiles
from fuserank_export.encoder.languages import measure_scripts, unread_scripts
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.encoder.prompts import Prompts, choose_templates
from fuserank_export.index.catalog import NO_SYNONYMS, index_catalog
from fuserank_export.index.units import unit_table
from fuserank_export.index.word_fields import choose_codes
from fuserank_export.sources import read_catalog

MAX_TOKENS = 256
EMBEDDING_CACHE = Path("build/eval")


class BundleEncoder:
    """Embeds queries and indexes catalogues with a bundle's encoder.

    Args:
        bundle: The bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.spec = bundle.spec
        self._engine = bundle.repository / "encoder" / "1" / "model.onnx"
        self._tokenizer = Tokenizer.from_file(str(bundle.tokenizer))
        self._prompts = Prompts(**bundle.manifest["inputs"]["prompts"])
        self._encoder = OnnxEncoder(self._engine, self._tokenizer, self.spec.pad_token_id, MAX_TOKENS)

    def embed(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """L2-normalised embeddings of queries, float32 `[queries, dim]`."""
        return self._encoder.embed([query_text(self.spec.query_template, query) for query in queries])

    def embed_served(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """The same, and zeros for what the encoder cannot read, as serving has it."""
        return self._encoder.embed_queries(queries, self.spec)

    def unread_scripts(self, texts: Sequence[str]) -> tuple[str, ...]:
        """The scripts of some texts that the encoder does not know, as an export measures it."""
        return unread_scripts(measure_scripts(texts, self._tokenizer, self._encoder.embed))

    def channel_queries(
        self, texts: Sequence[str], seen: Sequence[History], now: float, parser: QueryParser | None = None
    ) -> list[ChannelQuery]:
        """Requests as the channels take them.

        Args:
            texts: Queries `[requests]`.
            seen: Histories `[requests]`.
            now: Their time, epoch seconds.
            parser: Takes the queries apart; by default the bundle's own.
        """
        parse = (parser or self.bundle.query_parser).parse
        understood = {text: parse(text) for text in texts}
        distinct = sorted({parts.text for parts in understood.values()})
        vectors = dict(zip(distinct, self.embed(distinct), strict=True))
        return [
            ChannelQuery(
                understood[text].text, vectors[understood[text].text], history, now, understood=understood[text]
            )
            for text, history in zip(texts, seen, strict=True)
        ]

    def anonymous_queries(self, texts: Sequence[str], catalog: CatalogIndex) -> list[ChannelQuery]:
        """Requests to another shop by new users, without a time; the shop has no synonyms."""
        spelling = open_spelling(catalog.lexical, NO_SYNONYMS, self.bundle.tokenizer)
        parser = QueryParser(NO_SYNONYMS, Quantities(unit_table()), spelling, catalog.lexical.is_value)
        return self.channel_queries(texts, [History.empty()] * len(texts), 0.0, parser)

    def index_catalog(
        self, path: Path, template: str, fields: Mapping[str, float], folder: Path
    ) -> tuple[CatalogIndex, list[str]]:
        """Indexes a catalogue for the text channels; embeddings are kept for the next run.

        Args:
            path: The catalogue's file.
            template: Layout of an item's text.
            fields: Weights of the lexical fields.
            folder: Gets the index's files.

        Returns:
            The index, and the item id of each row.
        """
        catalog = read_catalog(path)
        # Items are laid out as this shop wants, and with the prompt that the bundle's encoder takes before them.
        templates = choose_templates(self._prompts, self.spec.query_template, template)
        indexed = index_catalog(catalog, templates.text)
        files = EncoderFiles.create(self._engine, self._tokenizer, self.spec.pad_token_id, MAX_TOKENS)
        vectors, _ = embed_texts(files, indexed.texts, checkpoint=EMBEDDING_CACHE, joined=folder / "vectors.npy")
        build_index(np.asarray(vectors), folder / "vectors.faiss")
        codes = choose_codes(catalog.items.columns, None)
        LexicalIndex.write(folder / "lexical", indexed.searched, fields, unit_table(), codes)
        return CatalogIndex.open(folder, indexed.items, "cpu"), [id_.decode() for id_ in indexed.items.ids]
