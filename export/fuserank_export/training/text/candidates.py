"""From a shop's files to what the text models learn from: read, labelled, split, and every query's candidates found.

Under a launcher of several processes one finds them and the others read what it wrote, which is also what an
interrupted run goes on with.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState  # type: ignore[import-untyped]

from fuserank_ensemble.candidates.retriever import Retriever
from fuserank_ensemble.catalog.text import query_text
from fuserank_ensemble.interactions.popularity import Popularity
from fuserank_ensemble.retrieval.index import CatalogIndex, InteractionIndex
from fuserank_ensemble.retrieval.lexical.index import LexicalIndex
from fuserank_ensemble.retrieval.vectors.search import build_index
from fuserank_ensemble.spec import GraphSpec
from fuserank_export.encoder.load import load_encoder
from fuserank_export.encoder.onnx_encoder import OnnxEncoder
from fuserank_export.encoder.onnx_export import export_onnx
from fuserank_export.index import Indexed, index_catalog
from fuserank_export.progress import Progress
from fuserank_export.sources import read_catalog, read_interactions
from fuserank_export.sources.formats.rows import detect_format
from fuserank_export.training.judged import check_both, read_labelled
from fuserank_export.training.text.pairs import (
    LEAST,
    Labelled,
    LabelledQuery,
    Ranked,
    Split,
    of_catalog,
    of_log,
    rank,
    split,
)

LONGEST = 256  # tokens of an item's text that retrieval's vectors see
EVALUATED = 500  # queries of validation, and of the held-out part, that are scored


@dataclass(frozen=True)
class Inputs:
    """A shop's files, and how much of them is used.

    Attributes:
        catalog: The catalogue's file.
        interactions: The log's file.
        queries: Queries in TREC's format.
        judgements: Their judgements, likewise; take precedence over the log.
        text_template: Layout of an item's text.
        query_template: Wraps a query for the encoder.
        max_queries: How many queries to train on at most.
        end: Epoch seconds; events of the log from then on are not looked at.
        max_bad_rows: Share of bad rows above which a file is refused.
    """

    catalog: Path
    interactions: Path | None = None
    queries: Path | None = None
    judgements: Path | None = None
    text_template: str = GraphSpec.text_template
    query_template: str = GraphSpec.query_template
    max_queries: int = 20_000
    end: float = np.inf
    max_bad_rows: float = 0.05


@dataclass(frozen=True)
class TextData:
    """What a text model learns from and is measured on.

    Attributes:
        texts: Text by item row.
        train: Queries to learn from, with candidates.
        validation: Queries to stop by.
        held_out: Queries for the report alone.
        report: What was found, as plain JSON values.
    """

    texts: Sequence[str]
    train: list[Ranked]
    validation: list[Ranked]
    held_out: list[Ranked]
    report: dict[str, Any]


def text_data(inputs: Inputs, encoder: str, folder: Path, seed: int, progress: Progress) -> TextData:
    """Reads a shop's files and finds the candidates of its queries.

    Args:
        inputs: The files.
        encoder: Hugging Face id or folder of the encoder that the dense channel asks.
        folder: Where the candidates are kept for other processes, and for a run that goes on.
        seed: Of the split and of queries made from the catalogue.
        progress: Shows the steps.

    Raises:
        InputError: Where the files cannot be used, or say too little.
    """
    with progress.step("reading the catalogue"):
        catalog = read_catalog(inputs.catalog, max_bad_share=inputs.max_bad_rows)
        typed = detect_format(inputs.catalog)[0] not in ("csv", "tsv")
        indexed = index_catalog(catalog, inputs.text_template, typed)
    progress.note(str(catalog.report))
    labelled = _labelled(inputs, indexed, catalog.item_ids, seed, progress)
    parts = split(labelled.queries, seed)
    report = {
        "source": labelled.source,
        **labelled.report,
        "split": {name: len(part) for name, part in vars(parts).items()},
        "trained_on": min(inputs.max_queries, len(parts.train)),
        "evaluated": EVALUATED,
    }
    kept = Split(parts.train[: inputs.max_queries], parts.validation[:EVALUATED], parts.held_out[:EVALUATED])
    path = folder / f"candidates-{_digest(inputs, encoder, indexed, kept)}.json"
    with PartialState(cpu=not torch.cuda.is_available()).main_process_first():
        if not path.exists():
            _find(path, indexed, inputs, encoder, kept, progress)
    found = json.loads(path.read_text("utf-8"))
    texts = [indexed.texts[code] for code in indexed.items.text]
    train, validation, held_out = ([Ranked(**each) for each in found[name]] for name in vars(kept))
    return TextData(texts, train, validation, held_out, report)


def _labelled(inputs: Inputs, indexed: Indexed, item_ids: Sequence[str], seed: int, progress: Progress) -> Labelled:
    """Right items of queries from the best source that there is."""
    check_both(inputs.queries, inputs.judgements)
    if inputs.queries is not None and inputs.judgements is not None:
        return read_labelled(inputs.queries, inputs.judgements, item_ids, inputs.max_bad_rows, progress)
    if inputs.interactions is not None:
        with progress.step("reading the interactions"):
            log = read_interactions(inputs.interactions, item_ids, max_bad_share=inputs.max_bad_rows)
        progress.note(str(log.report))
        found = of_log(log, 2 * inputs.max_queries, seed, inputs.end)
        if len(found.queries) >= LEAST:
            return found
        progress.note(f"the log has {len(found.queries)} queries: others are made from categories and titles")
    return of_catalog(indexed.items, indexed.titles, 2 * inputs.max_queries, seed)


def _find(path: Path, indexed: Indexed, inputs: Inputs, encoder: str, parts: Split, progress: Progress) -> None:
    """Indexes the catalogue in a passing folder, asks for every query, and keeps the answers."""
    with tempfile.TemporaryDirectory() as name:
        index = Path(name)
        with progress.step("loading the encoder"):
            loaded = load_encoder(encoder)
            export_onnx(loaded, index / "model.onnx")
            longest = min(loaded.max_length, LONGEST)
            engine = OnnxEncoder(index / "model.onnx", loaded.tokenizer, loaded.pad_id, longest)
        with progress.step("embedding texts", len(indexed.texts)) as advanced:
            vectors = engine.embed(indexed.texts, advanced=advanced).astype(np.float16)
        spec = GraphSpec(
            embedding_dim=loaded.dim, text_template=inputs.text_template, query_template=inputs.query_template
        )
        np.save(index / "vectors.npy", vectors)
        build_index(vectors, index / "vectors.faiss")
        LexicalIndex.write(index / "lexical", indexed.records, spec.lexical_fields)
        retriever = Retriever(
            CatalogIndex.open(index, indexed.items, "cpu"), InteractionIndex(Popularity.none(len(indexed.items))), spec
        )
        found: dict[str, list[dict[str, Any]]] = {}
        for part, queries in vars(parts).items():
            with progress.step(f"candidates of {part} queries", len(queries)) as advanced:
                ranked = rank(
                    queries,
                    retriever,
                    lambda asked: engine.embed([query_text(spec.query_template, query) for query in asked]),
                    advanced=advanced,
                )
            found[part] = [each.to_dict() for each in ranked]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(found, ensure_ascii=False), "utf-8")
    partial.rename(path)


def _digest(inputs: Inputs, encoder: str, indexed: Indexed, parts: Split) -> str:
    """Names what the candidates depend on, so that changed input is not answered with old ones."""

    def plain(queries: Sequence[LabelledQuery]) -> list[Any]:
        return [[query.text, query.relevant.tolist(), query.irrelevant.tolist()] for query in queries]

    settings = {name: str(value) for name, value in asdict(inputs).items()}
    found = [settings, encoder, indexed.texts, *map(plain, vars(parts).values())]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:16]
